"""Runs Aider for `countersign eval task --peer aider`: one JSON line per request in, one per answer out.

Arguments are those of Aider's own command line. What Aider prints goes to standard error.
"""

import json
import os
import sys

answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
os.dup2(2, 1)


def answer(**fields):
    answers.write(json.dumps(fields) + "\n")
    answers.flush()


def attempt(coder, message):
    coder.aider_edited_files = set()
    malformed = coder.num_malformed_responses
    error = None
    try:
        coder.run(with_message=message)
    except (Exception, SystemExit) as caught:
        error = f"{type(caught).__name__}: {caught}"
    answer(
        edited=sorted(coder.aider_edited_files),
        malformed=coder.num_malformed_responses - malformed,
        exhausted=coder.num_exhausted_context_windows,
        error=error,
    )


def run():
    requests = sys.stdin
    # Aider asks nobody: every question finds the end of its input.
    sys.stdin = open(os.devnull, encoding="utf-8")
    from aider import __version__
    from aider.main import main

    coder = main(sys.argv[1:], return_coder=True)
    if not hasattr(coder, "run"):
        sys.exit(f"Aider does not start: {coder}")
    answer(version=__version__)
    for line in requests:
        attempt(coder, json.loads(line)["message"])


run()
