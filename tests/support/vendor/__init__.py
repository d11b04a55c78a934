"""A stand-in for all of the OpenAI API that is instrumented, for tests.

`ModelServer` in `examples/` serves chat completions, responses and embeddings. This serves the rest
in the shapes of the real API, as openai 3.57 declares them, one module for each kind of endpoint.
What it says is made up but always the same for the same request, and so are its counts:

* a text has as many tokens as words (`str.split()`);
* an image that comes in has `IMAGE_IN` tokens, one that goes out `IMAGE_OUT`;
* sound has one token for each `BYTES_A_TOKEN` bytes of the file or of the speech.
"""

from .server import VendorServer

__all__ = ["VendorServer"]
