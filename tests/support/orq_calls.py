"""One call for every operation of Orq's client, spelled as the installed version wants it.

    call = CALLS["router.chat.completions.create"]
    answer = call.make(client)

`call.find` skips the test, and says why, if the installed client lacks the operation.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from support.client_versions import lacking

Json = dict[str, Any]

try:
    VERSION = tuple(int(part) for part in version("orq-ai-sdk").split(".")[:2])
except PackageNotFoundError:
    VERSION = (0, 0)

#: How older versions call the same parameter.
_FORMER_NAMES = {"input": "input_", "memory_entity_id": "memory_id"}
THREAD = {"id": "support-42", "tags": ["support", "priority-high"]}


@dataclass(frozen=True)
class Call:
    """A call of one operation; `places` are where versions have it on the client, newest first.

    `threads` says where its thread goes: "thread", "orq", or None. `streams` is True if it always
    streams, and "asked" if `stream=True` makes it.
    """

    operation: str
    arguments: Mapping[str, Any]
    places: tuple[str, ...] = ()
    threads: str | None = None
    streams: bool | str = False

    def find(self, client: Any, *, asynchronous: bool = False) -> Callable[..., Any]:
        """Return the method of a client, or skip the test."""
        for place in self.places or (self.operation,):
            found = client
            for name in place.split("."):
                found = getattr(found, name, None)
            if found is not None:
                owner, _, name = place.rpartition(".")
                if asynchronous:
                    found = client
                    for part in owner.split("."):
                        found = getattr(found, part)
                    found = getattr(found, name + "_async")
                return _fitting(found, self)
        return lacking("orq-ai-sdk", self.operation)

    def spelled(self, method: Callable[..., Any]) -> Json:
        """Return the arguments as the method names them."""
        accepted = inspect.signature(method).parameters
        given = dict(self.arguments)
        if "request" in accepted and "request" not in given:
            own = {name: given.pop(name) for name in list(given) if name not in accepted}
            given["request"] = own
        for new, former in _FORMER_NAMES.items():
            if new in given and new not in accepted and former in accepted:
                given[former] = given.pop(new)
        # Clients of 2026's spring build no request without it on pydantic 2.14.
        if "thinking" in accepted and VERSION < (4, 13) and "chat" not in self.operation:
            given["thinking"] = {"type": "disabled"}
        return given

    def make(self, client: Any) -> Any:
        """Call, and return the answer or the stream."""
        method = self.find(client)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            return method(**self.spelled(method))

    async def make_async(self, client: Any) -> Any:
        """Call the asynchronous twin."""
        method = self.find(client, asynchronous=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            return await method(**self.spelled(method))

    def with_(self, **arguments: Any) -> Call:
        """Return the same call with more arguments."""
        return replace(self, arguments={**self.arguments, **arguments})

    def in_thread(self, thread: Json | None = None) -> Call:
        """Return the same call in a thread, where it takes one."""
        thread = thread or THREAD
        if self.threads == "orq":
            return self.with_(orq={"thread": thread})
        return self.with_(thread=thread) if self.threads else self

    def streamed(self) -> Call:
        """Return the same call, streamed."""
        return self if self.streams is True else self.with_(stream=True)

    def saying(self, text: str) -> Call:
        """Return the same call with other words of the user, where there are any."""
        for name, value in _words(text).items():
            if name in self.arguments and type(self.arguments[name]) is type(value):
                return self.with_(**{name: value})
        raise ValueError(self.operation)


def _words(text: str) -> Json:
    return {
        "messages": [{"role": "user", "content": text}],
        "message": {"role": "user", "parts": [{"kind": "text", "text": text}]},
        "input": text,
        "prompt": text,
        "query": text,
    }


def _fitting(method: Callable[..., Any], call: Call) -> Callable[..., Any]:
    try:
        inspect.signature(method).bind(**call.spelled(method))
    except TypeError as reason:
        lacking("orq-ai-sdk", f"arguments of {call.operation}: {reason}")
    return method


SAID = "Where is my parcel?"
_MESSAGES = _words(SAID)["messages"]
_MESSAGE = _words(SAID)["message"]
_AGENT = {
    "key": "courier",
    "model": "openai/gpt-5-mini",
    "role": "courier",
    "instructions": "Find parcels.",
    "message": _MESSAGE,
    "path": "Default",
    "settings": {"tools": []},
}
_MODEL = {"model": "openai/gpt-5-mini"}
_FILE = {"file_name": "a.mp3", "content": b"ID3", "content_type": "audio/mpeg"}
_IMAGE = {"file_name": "a.png", "content": b"\x89PNG", "content_type": "image/png"}
_QUESTIONS = {
    "urgent": {"type": "noul", "instructions": "Is it urgent?"},
    "topic": {
        "type": "choice",
        "instructions": "What is it about?",
        "criteria": {"parcels": None, "bills": None},
    },
}
_STORE = {"memory_store_key": "customers"}
_MEMORY = {**_STORE, "memory_entity_id": "ada"}

_ALL = [
    Call("deployments.invoke", {"key": "support", "messages": _MESSAGES}, threads="thread"),
    Call(
        "deployments.stream",
        {"key": "support", "messages": _MESSAGES},
        threads="thread",
        streams=True,
    ),
    Call("deployments.get_config", {"key": "support"}, threads="thread"),
    Call(
        "agents.responses.create",
        {"agent_key": "courier", "message": _MESSAGE, "background": False},
        threads="thread",
        streams="asked",
    ),
    Call("agents.invoke", {"key": "courier", "message": _MESSAGE}, threads="thread"),
    Call("agents.run", _AGENT, threads="thread"),
    Call("agents.stream", {"key": "courier", "message": _MESSAGE}, threads="thread", streams=True),
    Call("agents.stream_run", _AGENT, threads="thread", streams=True),
    Call(
        "router.chat.completions.create",
        {**_MODEL, "messages": _MESSAGES},
        threads="orq",
        streams="asked",
    ),
    Call(
        "responses.create",
        {**_MODEL, "input": SAID},
        ("responses.create", "router.responses.create"),
        threads="thread" if VERSION >= (4, 9) else None,
        streams="asked",
    ),
    Call("responses.compact", {**_MODEL, "input": SAID}),
    Call("router.completions.create", {**_MODEL, "prompt": SAID}, threads="orq", streams="asked"),
    Call("router.embeddings.create", {"model": "openai/text-embedding-3-small", "input": SAID}),
    Call("router.images.generations.create", {"model": "openai/gpt-image-1", "prompt": SAID}),
    Call(
        "router.images.edits.create",
        {"model": "openai/gpt-image-1", "prompt": SAID, "image": _IMAGE},
    ),
    Call("router.images.variations.create", {"model": "openai/dall-e-2", "image": _IMAGE}),
    Call(
        "router.audio.speech.create",
        {"model": "openai/tts-1", "input": SAID, "voice": "alloy"},
        threads="orq",
    ),
    Call("router.audio.transcriptions.create", {"model": "openai/whisper-1", "file": _FILE}),
    Call("router.audio.translations.create", {"model": "openai/whisper-1", "file": _FILE}),
    Call(
        "router.rerank.create",
        {
            "model": "cohere/rerank-v3.5",
            "query": SAID,
            "documents": ["bills", "where parcels are", "my parcel is where it is"],
        },
    ),
    Call("router.moderations.create", {"input": SAID, "model": "openai/omni-moderation-latest"}),
    Call(
        "router.ocr",
        {
            "model": "mistral/mistral-ocr-latest",
            "document": {"type": "document_url", "document_url": "https://example.com/a.pdf"},
        },
    ),
    Call("router.classify.create", {**_MODEL, "questions": _QUESTIONS, "state": SAID}),
    Call("router.decisions.create", {**_MODEL, "questions": _QUESTIONS, "state": SAID}),
    Call("evals.invoke", {"id": "helpful", "query": SAID, "output": "It is on its way."}),
    Call("knowledge.search", {"knowledge_id": "terms", "query": SAID}),
    Call("websearch.search", {"provider": "exa", "query": SAID}),
    Call("wikis.search", {"wiki_id": "handbook", "query": SAID}),
    Call(
        "memory_stores.create",
        {
            "key": "customers",
            "description": "What customers said.",
            "embedding_config": {"model": "openai/text-embedding-3-small"},
            "path": "Default",
        },
    ),
    Call("memory_stores.retrieve", _STORE),
    Call("memory_stores.update", {**_STORE, "description": "What they said."}),
    Call("memory_stores.list", {}),
    Call("memory_stores.create_memory", {**_STORE, "entity_id": "ada"}),
    Call("memory_stores.retrieve_memory", _MEMORY),
    Call("memory_stores.update_memory", {**_MEMORY, "metadata": {"mood": "calm"}}),
    Call("memory_stores.list_memories", _STORE),
    Call("memory_stores.create_document", {**_MEMORY, "text": "Ada waits for a parcel."}),
    Call("memory_stores.list_documents", _MEMORY),
    Call("memory_stores.delete_memory", _MEMORY),
    Call("memory_stores.delete", _STORE),
]
#: Every call that needs no other one before it, by operation.
CALLS = {call.operation: call for call in _ALL}
#: Those that take an id of what another one made.
FOLLOWING = {
    call.operation: call
    for call in (
        Call("agents.responses.get", {"agent_key": "courier", "task_id": "?"}),
        Call("responses.get", {"response_id": "?"}),
        Call("memory_stores.retrieve_document", {**_MEMORY, "document_id": "?"}),
        Call("memory_stores.update_document", {**_MEMORY, "document_id": "?", "text": "New."}),
        Call("memory_stores.delete_document", {**_MEMORY, "document_id": "?"}),
    )
}
