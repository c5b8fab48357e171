"""The dashboard: pages for people, of the same service that the API has."""
