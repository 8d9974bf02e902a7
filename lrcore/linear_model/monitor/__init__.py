"""What watches a fit: callbacks, history, diagnostics, the control of the rate."""
