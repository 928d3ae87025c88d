"""
What the server does: one script, whose calls are steps that nobody can see half done.

Theory of operation
-------------------

Each topic is a stream, ``log``, to which a message is added once; each group is a consumer group of it.  So
publishing costs the same for any number of groups, the server keeps what each has read, and ``XPENDING`` tells what
it has begun and not finished: who holds a message, and how often it has been handed out.  Ids are counted (``seq``),
so that they can be compared, and are called places here.

Streams know neither delays, nor keys, nor a time to hold that can be extended beyond the visibility time (idle times
are never negative).  So what a group has begun and not finished is in one of three sets, besides being pending:

==========  ========================================================================================
``held``    a consumer holds it, until the time that is its score; then it is claimed by the next one
``due``     nobody holds it, and it may be handed out from the time that is its score
``behind``  it waits for an earlier message of the same key, which ``busy`` names
==========  ========================================================================================

1. Taking looks first at what is due in ``held`` and ``due``, then reads on in the stream.  A message that is delayed,
   or whose key is busy, is put aside, in the name of nobody and not counted, and the search goes on.
2. Settling is done only for the consumer that has it pending, with the count that it was handed out with, before the
   time in ``held``.  Anything else finds nothing to change.
3. Acknowledging frees no space in a stream.  So the entry is deleted when the last of the groups that there were at
   publication is done with it; ``refs`` counts them if there are several.  A stream could only be trimmed up to its
   oldest unfinished message, and one that is delayed for a day would keep all others.
4. A dead letter is not pending any more, its place is in ``dead``, its error in ``graves``; the entry stays.
5. Whoever finds nothing to take sets ``idle``; what makes something due removes it, and then says so on a channel of
   that name.  So nothing is said while all are busy.
6. All times are the server's, in microseconds, so the hosts' clocks do not matter.
7. If a connection is lost before the answer came, the call is repeated and says so.  Publishing then looks at
   ``sent:…``, the number of the last message that this sender has published; taking looks for what its consumer holds
   without knowing; settling, for what it wanted to bring about.
8. On a full server what needs memory is refused, unless the script has written already.  So everything that helps to
   empty it writes first what needs none.
"""

from __future__ import annotations

import hashlib
from importlib.resources import files

import attrs

SOURCE = files("conductor_mq_redis").joinpath("queue.lua").read_text(encoding="utf-8")
DIGEST = hashlib.sha1(SOURCE.encode(), usedforsecurity=False).hexdigest()

Word = bytes | str | int


@attrs.frozen(kw_only=True)
class Call:
    """
    One call of the script.

    Attributes:
        verb: what to do.
        keys: the names of what it works on.
        words: what else it needs.
        if_again: what it needs as well if it was sent before.
    """

    verb: str
    keys: tuple[str, ...]
    words: tuple[Word, ...]
    if_again: tuple[Word, ...] = ()

    def command(self, *, again: bool) -> tuple[Word, ...]:
        """
        The command to send.

        Args:
            again: it was sent before, and the answer was lost.
        """
        more = self.if_again if again else ()
        return ("EVALSHA", DIGEST, len(self.keys), *self.keys, self.verb, int(again), *self.words, *more)

    @property
    def size(self) -> int:
        """
        About how many bytes are sent.
        """
        return sum(len(word) for word in self.words if not isinstance(word, int))


@attrs.frozen
class Plain:
    """
    A command of the server's own that may be repeated.
    """

    words: tuple[Word, ...]
    size: int = 0

    def command(self, *, again: bool) -> tuple[Word, ...]:
        """
        The command to send.
        """
        return self.words
