"""`python -m crawler.compare.lessons`."""

from crawler.compare.lessons.commands import lessons

if __name__ == "__main__":
    lessons(prog_name="python -m crawler.compare.lessons")
