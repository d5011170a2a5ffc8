"""Requests -> media: the only place where the parts of the house meet."""
