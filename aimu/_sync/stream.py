"""Generated from aimu.aio by `python -m aimu._tools.generate`: do not edit.

The sync twins of Stream. They decide nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import final

from aimu._core.answer import Answer
from aimu._core.reply import Usage
from aimu._doors import public
from aimu._sync.reader import StreamReader
from aimu._sync.twin import twin_of
from aimu.aio._stream import Stream as AsyncStream


@public("aimu")
@final
@twin_of(AsyncStream)
class Stream(StreamReader):
    """The chunks of a run: an iterator of StreamChunk and a context manager.

    - Inside `with` the stream is live: chunks of concurrent workers interleave, and buffering is bounded. When the
      block ends, for whatever reason, the run is stopped and cleaned up before the next line executes.
    - A bare `for` loop pulls the run step by step and may stop at any chunk.

    The last chunk is `done`; `text_stream` gives the text alone. A stream is read once, by one thread. `timeout` counts
    from the first step or from entering the block; TimeoutError is raised after the buffered chunks.

    Example:
        with agent.run("Tell me a story.", stream=True) as stream:
            for text in stream.text_stream:
                print(text, end="")
        print(stream.result.usage)
    """

    __aio__: AsyncStream

    @property
    def result(self) -> Answer:
        """The answer that a plain run returns.

        Raises:
            StreamClosedError: The stream was not read to its end.
        """
        return self.__aio__.result

    @property
    def usage(self) -> Usage | None:
        """The tokens that the run has used so far; None if the service does not report them."""
        return self.__aio__.usage

    @property
    def text_stream(self) -> Iterator[str]:
        """The pieces of text alone, of all iterations and all agents of the run, as they come.

        It reads this stream, so read either of the two. `result` is the answer, which is the text of the last iteration
        only.
        """
        return self._texts()

    def close(self) -> None:
        """Stop the run; what it has streamed so far stays in the history.

        May be called more than once.

        Raises:
            StreamClosedError: Another thread has begun to read the stream.
        """
        self._run(self.__aio__.aclose())
