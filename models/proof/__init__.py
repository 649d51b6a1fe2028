"""The proof: figures, intervals and plots for whoever decides on using a version."""
