"""Let the processes of `prefork` call functions by their names: `python prefork_names.py URL DIR`."""

import sys

import crawler


def is_even(url: str) -> bool:
    return not url[-1:].isdigit() or int(url[-1]) % 2 == 0


def show(page: crawler.Page) -> None:
    print(page.url, flush=True)


if __name__ == "__main__":
    crawler.crawl(
        sys.argv[1],
        out=sys.argv[2],
        use="fast",
        mode="prefork",
        processes=2,
        filter="prefork_names:is_even",
        on_page="prefork_names:show",
    )
