"""The baseline of the API: an empty Falcon reply on Granian with one worker. Run: python -m tests.bench.empty_app PORT."""

import sys

import falcon
from granian import Granian
from granian.constants import Interfaces


class _Empty:
    def on_get(self, _request: falcon.Request, response: falcon.Response) -> None:
        response.media = {}


def application() -> falcon.App:
    """Return the smallest application."""
    app = falcon.App()
    app.add_route("/", _Empty())
    return app


app = application()

if __name__ == "__main__":
    Granian(
        "tests.bench.empty_app:app", address="127.0.0.1", port=int(sys.argv[1]), interface=Interfaces.WSGI, workers=1
    ).serve()
