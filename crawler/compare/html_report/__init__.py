"""The report on paper: sentences, figures and sections, made from results and nothing else."""
