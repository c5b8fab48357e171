"""The dashboard: pages of HTML that work without scripts, and a script that keeps them up to date."""
