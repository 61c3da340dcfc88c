#!/usr/bin/env python3
"""Checks the prose of comments, documentation and Markdown files: `make lint` runs it.

It knows constructions at which readers stop, and what to write instead (docs/glossary.md has the terms). A hit is a sentence to read again, so a
small share of them is allowed.

usage: prose.py [--list] [PATH ...]     in the repository's root; exits 1 if a share is exceeded
"""

import re
import subprocess
import sys

# A construction, and what to write instead.
CONSTRUCTIONS = [
    (r"^(What|How (many|long|often|much|far)|Which|Why)\b(?!.*\?)", "begin with a noun or a verb: 'Maximum ...', 'Returns ...'"),
    (r"^(Where|When)\b(?!.*[,?])", "begin with a noun or a verb"),
    (r"^The same\b|\bthe same, (and|but|with|for|of|as)\b", "name the thing again"),
    (r"^Of (two|several|equal|these|those|the|what|a)\b", "begin with the subject"),
    (r"^Has (the|what|it|its|a|an)\b", "use a verb: makes, shortens, sets"),
    (r"\bha(s|ve|d) (its|their|an|one|no) ends?\b", "completes; its outcome"),
    (r"\b(is|are|was) none\b|\bthat is no \w+\b|\bis no (valid )?\w+ of\b", "invalid, absent, not a valid ..."),
    (r"\bso (many|much|often|few|long)\b(?! (as|that))", "name the number or the parameter"),
    (r"\bthe (most|least) (that|of|a|an|bytes|items|calls|time|it)\b|\bthe most \w+ (of|that|a)\b", "maximum, at most"),
    (r"\bcom(e|es|ing) again\b|\bcame again\b", "is redelivered, is retried"),
    (r"\b(stand|stands|stood|standing) (in )?for\b", "represents, replaces"),
    (r"\blets? (\w+ )?(go|pass)\b", "releases, unblocks"),
    (r"\b(has|have|had|no|finds?) (no )?place\b", "fits"),
    (r"\bmay (yet|still) be applied\b", "is ambiguous, may still take effect"),
    (r"\b(cannot|can|is to) be had\b", "unavailable, infeasible"),
    (r"\b(time|deadline) is (over|there)\b|\bno time is left\b", "the deadline has passed"),
    (r"\bwhat (is|was|are|were) (over|left|beside|behind|before|after)\b|\bwhat (comes|came|follows|followed|stands|waits)\b", "name the subject"),
    (r"\bfor want of\b|\bhands? back\b|\bnext to nothing\b|\bfor ever\b|\bbesides\b|\bin front of\b", "use the common word"),
    (r"\b(is|are) (asked|taken|said|told|named|kept|held|borne)\b", "requested, accepted, reported, logged, specified, retained"),
    (r"\bsays (of|what|why|which|whether|how|so)\b|\bsaid (of|by)\b", "reports, returns, states"),
]
CONSTRUCTIONS = [(re.compile(pattern), advice) for pattern, advice in CONSTRUCTIONS]

# Maximum share of such sentences in percent, by the beginning of the path. The last row is for everything.
MAX_PERCENT = [(("src/",), 1.0), (("README.md", "docs/"), 1.0), (("",), 2.0)]

COMMENT = re.compile(r"^\s*(///|//!|//|#)(.*)$")
MARKDOWN_ITEM = re.compile(r"\s*([-*]|\d+\.|#)")
SENTENCE_END = re.compile(r"(?<=[.;!?])\s+")
# A heading or a fragment is no sentence.
MIN_SENTENCE_CHARS = 12


def prose_lines(path: str, text: str):
    """Yields each line of prose with its number, and None between paragraphs."""
    is_fenced = False
    for number, line in enumerate(text.split("\n"), 1):
        if path.endswith(".md"):
            is_fenced ^= line.startswith("```")
            is_prose = not is_fenced and line.strip() and not line.startswith(("```", "|", "    "))
            if MARKDOWN_ITEM.match(line):
                yield number, None
            yield number, line.lstrip("#-*> 0123456789.").strip() if is_prose else None
        else:
            comment = COMMENT.match(line)
            yield number, comment[2].strip() or None if comment and "http" not in line else None


def sentences(path: str, text: str):
    """Yields each sentence with the number of the line on which its paragraph begins."""
    start, paragraph = 0, []
    for number, line in [*prose_lines(path, text), (0, None)]:
        if line is not None:
            start = start if paragraph else number
            paragraph.append(line)
            continue
        for sentence in SENTENCE_END.split(" ".join(paragraph)):
            if len(sentence) > MIN_SENTENCE_CHARS:
                yield start, sentence
        paragraph = []


def advice_for(sentence: str) -> str | None:
    """Returns what to write instead of the first construction that the sentence has."""
    return next((advice for pattern, advice in CONSTRUCTIONS if pattern.search(sentence)), None)


def tracked_files(paths: list[str]) -> list[str]:
    listed = subprocess.run(["git", "ls-files", "--", *paths], capture_output=True, text=True, check=True)
    # the file itself quotes what it looks for
    is_prose = lambda path: path.endswith((".rs", ".md", ".py", ".yaml", "Makefile")) and path != "tests/prose.py"
    return [path for path in listed.stdout.split() if is_prose(path) and not path.startswith("tests/bodies/schemas")]


def main(arguments: list[str]) -> int:
    paths = [argument for argument in arguments if argument != "--list"]
    found = []
    for path in tracked_files(paths):
        with open(path, encoding="utf-8") as file:
            found += [(path, line, sentence, advice_for(sentence)) for line, sentence in sentences(path, file.read())]
    if "--list" in arguments:
        for path, line, sentence, advice in found:
            if advice:
                print(f"{path}:{line}: {sentence[:140]}\n    {advice}")
    is_exceeded = False
    for prefixes, most in MAX_PERCENT:
        marks = [advice for path, _, _, advice in found if path.startswith(prefixes)]
        hits = sum(advice is not None for advice in marks)
        percent = 100 * hits / max(len(marks), 1)
        is_exceeded |= percent > most
        print(f"{', '.join(prefixes) or 'all'}: {hits} of {len(marks)} sentences, {percent:.1f} % (at most {most} %)")
    if is_exceeded:
        print("python3 tests/prose.py --list names the sentences, and what to write instead", file=sys.stderr)
    return int(is_exceeded)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
