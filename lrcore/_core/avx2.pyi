from lrcore._core.baseline import *
