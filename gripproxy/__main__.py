"""`python -m gripproxy`."""

from gripproxy.cli import main

if __name__ == "__main__":
    main()
