"""Where the repository and the demo are."""
import pathlib

REPO = pathlib.Path(__file__).resolve().parent.parent.parent
DEMO = REPO / "deploy/demo"
