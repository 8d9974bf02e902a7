"""What turns a problem into calls of the kernels: layout, epochs, order of rows and features."""
