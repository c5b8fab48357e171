"""The report of a comparison: sentences, figures and sections, made only from the results."""
