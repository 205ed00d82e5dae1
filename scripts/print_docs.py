"""Print config/gripproxy.conf and docs/reference/options.md from the table of options."""

from pathlib import Path

from gripproxy import config

ROOT = Path(__file__).resolve().parent.parent

PRINTED = {
    "config/gripproxy.conf": config.print_default_conf,
    "docs/reference/options.md": config.print_reference,
}

for name, text in PRINTED.items():
    path = ROOT / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text(), encoding="utf-8")
