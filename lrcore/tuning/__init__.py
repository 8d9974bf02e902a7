"""Learning rates chosen by trying: the range test, searches, stability limits."""
