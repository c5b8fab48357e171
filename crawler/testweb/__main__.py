"""`python -m crawler.testweb`."""

from crawler.testweb.commands import testweb

testweb(prog_name="python -m crawler.testweb")
