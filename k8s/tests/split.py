"""Leaves out what is not of Kubernetes' own API: split.py RENDERED WRITTEN"""

import sys
from pathlib import Path

import yaml

FOREIGN = ("monitoring.coreos.com/", "keda.sh/")

documents = [d for d in yaml.safe_load_all(Path(sys.argv[1]).read_text()) if d]
kept = [d for d in documents if not d["apiVersion"].startswith(FOREIGN)]
Path(sys.argv[2]).write_text(yaml.safe_dump_all(kept))
