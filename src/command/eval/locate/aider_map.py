"""Ranks files as Aider's map of the repository does, for `countersign eval locate --baseline aider-map`:
one JSON line per request in, one per answer out.

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


def ranked(coder, request):
    """The files of the map by their best definition, as for a first request with no file in the chat."""
    words = coder.get_ident_mentions(request)
    named = coder.get_file_mentions(request) | coder.get_ident_filename_matches(words)
    files = set(coder.get_all_abs_files())
    tags = coder.repo_map.get_ranked_tags(set(), files, named, words)
    return list(dict.fromkeys(tag[0] for tag in tags))


def run():
    requests = sys.stdin
    # Aider asks nobody: every question finds the end of its input.
    sys.stdin = open(os.devnull, encoding="utf-8")
    from aider.main import main

    coder = main(sys.argv[1:], return_coder=True)
    if not getattr(coder, "repo_map", None):
        sys.exit(f"Aider has no map here: {coder}")
    answer(files=[])
    for line in requests:
        answer(files=ranked(coder, json.loads(line)["request"]))


run()
