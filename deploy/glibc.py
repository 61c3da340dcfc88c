"""Fails if an executable needs a newer glibc than Amazon Linux 2023 has:

    .venv/bin/python -m deploy.glibc FILE"""

import re
import sys
from pathlib import Path

# https://docs.aws.amazon.com/linux/al2023/ug/core-glibc.html
AMAZON_LINUX_2023 = (2, 34)


def newest(executable: bytes) -> tuple:
    """Returns the newest version of glibc's symbols that an executable references, or (0, 0) if it references none."""
    named = re.findall(rb"GLIBC_(\d+)\.(\d+)", executable)
    return max(((int(major), int(minor)) for major, minor in named), default=(0, 0))


def main(path: str) -> int:
    found = newest(Path(path).read_bytes())
    text = ".".join(map(str, found))
    if not (0, 0) < found <= AMAZON_LINUX_2023:
        print(f"{path} needs glibc {text}, Amazon Linux 2023 has {'.'.join(map(str, AMAZON_LINUX_2023))}", file=sys.stderr)
        return 1
    print(f"{path} needs glibc {text}, which Amazon Linux 2023 has")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
