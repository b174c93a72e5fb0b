"""What kafka-python tries while a part of it is opened, and why that failed, which it keeps to itself."""

from __future__ import annotations

import ssl
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from kafka.errors import KafkaError, SaslAuthenticationFailedError, UnsupportedSaslMechanismError
from kafka.net.compat import KafkaNetClient

from onepipe_kafka.errors import SASL_FAILED, UNTRUSTED, Failure

_INVALID_CONFIG: Final = 40
_LOGIN_REFUSED: Final = (SaslAuthenticationFailedError, UnsupportedSaslMechanismError)


class Attempts:
    """The connections that were tried since the first attempt to open a part.

    Attributes:
        cause: what a user's own token provider raised, or None.
    """

    def __init__(self, failure: Callable[[BaseException], Failure]) -> None:
        """Begin.

        Args:
            failure: from an error of the client to its code and words, without secrets.
        """
        self.cause: BaseException | None = None
        self._failure = failure
        self._clients: list[Any] = []
        self._connections: deque[tuple[Any, Any]] = deque(maxlen=16)
        self._open = True

    def client(self, **configs: Any) -> Any:
        """A network client that creates no topic by asking for it, a setting that kafka-python 3.0 does not pass on."""
        client = KafkaNetClient(**configs)
        client.cluster.config["allow_auto_create_topics"] = False
        manager = client._manager  # noqa: SLF001 - where its connections come from
        connect = manager.get_connection

        def get_connection(node: Any, *arguments: Any, **options: Any) -> Any:
            if not self._open:
                return connect(node, *arguments, **options)
            refused = self.refusal(len(client.cluster.bootstrap_brokers()))
            if refused is not None:
                raise refused
            connection = connect(node, *arguments, **options)
            if (node, connection) not in self._connections:
                self._connections.append((node, connection))
                _hear_last_words(connection)
            return connection

        manager.get_connection = get_connection
        self._clients.append(client)
        return client

    def refusal(self, by: int = 1) -> Failure | None:
        """Why no further attempt will do, where this many brokers refused this client or were refused by it."""
        refusals = {node: refused for node, error in self._errors() if (refused := self._refusal(error)) is not None}
        return next(iter(refusals.values())) if len(refusals) >= by else None

    def explained(self, error: Failure | KafkaError) -> Failure:
        """An error of the client, with what became of its last connection."""
        failure = error if isinstance(error, Failure) else self._failure(error)
        words = [self._failure(last).reason for _, last in self._errors()]
        told = f"{failure.reason}; before that: {words[-1]}" if words else failure.reason
        return Failure(failure.code, told)

    def end(self) -> None:
        """The part is open; what becomes of connections from now on is its own."""
        self._open = False
        self._connections.clear()

    def close(self) -> None:
        """Close what a part that was not opened leaves open."""
        for client in self._clients:
            client.close()
        self._clients.clear()

    def _errors(self) -> list[tuple[Any, BaseException]]:
        """What broke connections: the broker's node, and how."""
        failed = [(node, connection.init_future.exception) for node, connection in list(self._connections)]
        return [(node, error) for node, error in failed if error is not None]

    def _refusal(self, error: BaseException) -> Failure | None:
        if isinstance(error, _LOGIN_REFUSED):
            return Failure(SASL_FAILED, self._failure(error).reason)
        if isinstance(error, ssl.SSLError | FileNotFoundError):  # those of connections are wrapped
            words = f"the certificate or its key cannot be loaded: {self._failure(error).reason}"
            return Failure(_INVALID_CONFIG, words)
        insecure = _tls_error(error)
        if insecure is not None:
            return Failure(UNTRUSTED, self._failure(insecure).reason) if _is_refusal(insecure) else None
        if not isinstance(error, KafkaError | OSError):
            self.cause = error
            return Failure(SASL_FAILED, f"the login raised {type(error).__name__}")
        return None


def _hear_last_words(connection: Any) -> None:
    """Let a connection hear what a broker says before it hangs up, as why it refused a login.

    Where both come at once kafka-python hears the end alone, and forgets the words.
    """
    connection_made = connection.connection_made

    def made(transport: Any) -> None:
        receive = transport._sock_recv  # noqa: SLF001 - where words and end come together

        def words_first() -> tuple[bytes, BaseException | None]:
            words, end = receive()
            return (words, None) if words else (words, end)  # the end is there again at the next call

        transport._sock_recv = words_first  # noqa: SLF001 - as above
        connection_made(transport)

    connection.connection_made = made


def _tls_error(error: BaseException) -> ssl.SSLError | None:
    """The error of TLS that a connection's error is about."""
    about = (error.__context__, *error.args)
    return next((one for one in about if isinstance(one, ssl.SSLError)), None)


def _is_refusal(error: ssl.SSLError) -> bool:
    """Whether one of the two refused the other: such an error stays, while others come with a broker's restart."""
    return isinstance(error, ssl.SSLCertVerificationError) or "ALERT" in (error.reason or "")
