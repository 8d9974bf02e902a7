"""The solvers, one in each file."""
