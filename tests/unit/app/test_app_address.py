"""Where records go, as an owner writes it: what passes can be called, and the rest is told why."""

from __future__ import annotations

import json
import random
import socket
from typing import TYPE_CHECKING

import pytest

from glovebox.config.reader import Reader
from glovebox.config.rules import Place
from glovebox.config.schema import Config
from telematics import address, sink_http
from telematics.settings import SettingsError, check
from telematics.sink import SinkError
from telematics.sink_http import HttpSink
from telematics.sink_kafka import KafkaSink, _client, common_config, probe, producer_config

if TYPE_CHECKING:
    from pathlib import Path

    from telematics.settings import Settings

RIGHT_URLS = {
    "https://example.org": ("example.org", 443, "/"),
    "http://example.org:8080/in": ("example.org", 8080, "/in"),
    "https://192.168.1.7/a/b?vehicle=7&x=%20": ("192.168.1.7", 443, "/a/b?vehicle=7&x=%20"),
    "https://[fd00::7]:8443/": ("fd00::7", 8443, "/"),
    "https://broker.example.org.?token=1": ("broker.example.org.", 443, "/?token=1"),
    "https://a_b-c.xn--bcher-kva.example/@home": ("a_b-c.xn--bcher-kva.example", 443, "/@home"),
}
WRONG_URLS = [
    "https://[::1",
    "https://::1/",
    "https://[::1]x/",
    "https://[fe80::1%wlan0]/",
    "https://host:99999/",
    "https://host:0/",
    "https://host:x/",
    "http://a..b/",
    "http://.a/",
    "http://-a/",
    "http://host/é",
    "http://bücher.example/",
    "http://host/a b",
    "http://host/a\nHost: other",
    "http://user:password@host/",
    "http://host/#top",
    "http:///path",
    "http://",
    "ftp://host/",
    f"http://{'a' * 64}/",
    f"http://{'a.' * 130}b/",
]
RIGHT_BROKERS = ["a:9092", "broker.example.org:9093,10.0.0.7:9092", "[::1]:9092"]
WRONG_BROKERS = [
    "a", "a:", ":9092", "a:0", "a:65536", "a:9092,", ",a:9092", "a:9092,,b:1", "a..b:9092",
    "é:9092", "[::1:9092", "[x]:9092", "::1:9092", "a:9092;b:9092", "a:9_0", "a:٣",
]  # fmt: skip


@pytest.mark.parametrize("text", RIGHT_URLS)
def test_address_is_cut_into_what_a_connection_needs(text: str) -> None:
    """Host, port and target come out as written, the query string among them."""
    found = address.url(text)

    assert (found.host, found.port, found.target) == RIGHT_URLS[text]
    assert found.secure == text.startswith("https")


@pytest.mark.parametrize(
    ("way", "text"),
    [*(("http", text) for text in WRONG_URLS), *(("kafka", text) for text in WRONG_BROKERS)],
)
def test_address_that_cannot_be_called_is_refused_where_it_is_read(
    way: str, text: str, tmp_path: Path
) -> None:
    """The board and the builder refuse it by one rule: the place, what is wrong, the cure."""
    values = {"publish_to": way, "publish_servers": text, "publish_security": "plaintext"}
    with pytest.raises(SettingsError) as board:
        check(values)
    builder = _built(values, tmp_path)

    assert str(board.value).startswith("publish_servers: ")
    assert [line for line in builder if "service.publish_servers: " in line] == builder
    assert len(builder) == 1
    if not text.isspace() and "\n" not in text and " " not in text:
        assert all("; hint: " in line for line in (str(board.value), *builder))


@pytest.mark.parametrize("text", RIGHT_BROKERS)
def test_list_of_brokers(text: str, tmp_path: Path) -> None:
    """Names, addresses of both kinds, one or several."""
    values = {"publish_to": "kafka", "publish_servers": text}

    assert check(values).publish_servers == text
    assert _built(values, tmp_path) == []


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"publish_to": "kafka", "publish_servers": "https://a/"}, "is an address for HTTP"),
        ({"publish_to": "http", "publish_servers": "a:9092"}, "is no address for HTTP"),
        ({"publish_to": "http", "publish_servers": "http://a/"}, "is not https"),
    ],
)
def test_ways_are_not_mixed(values: dict[str, str], told: str, tmp_path: Path) -> None:
    """What belongs to the other way to publish is refused at the field that is to be mended."""
    with pytest.raises(SettingsError, match=f"^publish_servers: .* {told}"):
        check(values)
    (line,) = _built(values, tmp_path)

    assert f"service.publish_servers: '{values['publish_servers']}' {told}" in line


@pytest.mark.parametrize(
    "key", ["\ufeffkey", "ключ", "a\nb", "a\r\nX-Other: b", "", "a\x7f", "\x00"]
)
def test_api_key_that_no_header_holds_is_refused(key: str, tmp_path: Path) -> None:
    """In words at the sink, which never sends half a header; a mark of an editor does no harm."""
    (tmp_path / "api-key").write_bytes(key.encode())
    settings = check(
        {"publish_to": "http", "publish_servers": "http://127.0.0.1:1/",
         "publish_security": "plaintext", "publish_secrets": str(tmp_path)}
    )  # fmt: skip
    said = "127.0.0.1" if key == "\ufeffkey" else r"api-key is no API key.*; hint: "

    with pytest.raises(SinkError, match=said):
        HttpSink(settings).open()


@pytest.mark.parametrize(
    "values",
    [
        {"gpsd_host": "a..b"}, {"gpsd_host": "é"}, {"queue_socket": "/run/\x00"},
        {"queue_socket": "/" + "é" * 60}, {"publish_topic": ".."}, {"publish_live_topic": "."},
        {"publish_user": "a\x01"}, {"publish_secrets": "/a\x00b"}, {"queue_key": "a\ud800"},
    ],
)  # fmt: skip
def test_text_that_nothing_can_use_is_refused(values: dict[str, str]) -> None:
    """A host, path, topic or name that would only fail later, with a traceback."""
    with pytest.raises(SettingsError):
        check(values)


_PIECES = [
    "http", "https", "://", ":", "/", "//", "?", "#", "@", "[", "]", ".", "..", ",", "-", "_", "%",
    "host", "a", "127.0.0.1", "::1", "fe80::1", "%25eth0", "9092", "99999", "0", "-1", " ", "\t",
    "\r\n", "\x00", "\x7f", "é", "ключ", "\ufeff", "\u2028", "\ud800", "٣", "xn--", "a" * 70,
    "a." * 130, "PLAINTEXT", "ssl", "=", ";", "\\", '"',
]  # fmt: skip


def _fuzzed(seed: int, count: int) -> list[str]:
    dice = random.Random(seed)  # noqa: S311  the same at each run
    whole = [*RIGHT_URLS, *WRONG_URLS, *RIGHT_BROKERS, *WRONG_BROKERS]
    texts = []
    for _ in range(count):
        parts = dice.choices(_PIECES, k=dice.randint(1, 7))
        if dice.random() < 0.6:
            base = dice.choice(whole)
            at = dice.randrange(len(base) + 1)
            parts = [base[:at], parts[0], base[at + dice.randint(0, 2) :]]
        texts.append("".join(parts))
    return texts


@pytest.mark.thorough
def test_whatever_passes_the_check_can_be_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 4,000 odd addresses each is refused in words, or taken by the sinks without a traceback.

    The network is left out; what encodes a name for it is not.
    """

    def nobody(place: tuple[str, int], *_: object, **__: object) -> socket.socket:
        host, port = place
        host.encode("idna")
        assert 1 <= port <= 65_535
        raise ConnectionRefusedError(111, "Connection refused")

    monkeypatch.setattr(socket, "create_connection", nobody)
    (tmp_path / "api-key").write_text("key\n")
    passed = 0
    for text in _fuzzed(1, 4000):
        for way in ("http", "kafka"):
            settings = _checked(way, text, tmp_path)
            if settings is None:
                continue
            passed += 1
            sink = HttpSink(settings) if way == "http" else KafkaSink(settings)
            if text:
                with pytest.raises(SinkError):
                    sink.open()
            if way == "http":
                # The line and the header that would go out.
                target = address.url(text)
                link = sink_http.http.client.HTTPConnection(target.host, target.port)
                link.putrequest("POST", target.target)

    assert passed > 50


@pytest.mark.thorough
def test_whatever_passes_the_check_librdkafka_takes(tmp_path: Path) -> None:
    """Of 300 odd lists, users and passwords: refused in words, or a client of C can be made."""
    dice = random.Random(2)  # noqa: S311  the same at each run
    made = 0
    texts = [*RIGHT_BROKERS, *_fuzzed(3, 300)]
    (tmp_path / "ca.pem").write_text("")
    for odd in texts:
        text = dice.choice([odd, *RIGHT_BROKERS])
        password = "".join(dice.choices(_PIECES, k=dice.randint(1, 3)))
        (tmp_path / "password").write_bytes(password.encode(errors="surrogatepass"))
        user = "".join(dice.choices(_PIECES, k=dice.randint(0, 2)))
        try:
            settings = check(
                {"publish_to": "kafka", "publish_servers": text, "publish_user": user,
                 "publish_security": dice.choice(["sasl", "plaintext"]),
                 "publish_secrets": str(tmp_path)}
            )  # fmt: skip
            # An empty authority is a file that OpenSSL does not take: told, not raised through.
            config = producer_config(settings) if made % 2 else common_config(settings)
            config.pop("ssl.ca.location", None)
            client = _client(config)
        except (SettingsError, SinkError):
            continue
        made += 1
        client.purge()
        client.flush(0)

    assert made >= 50


def test_damaged_authority_is_told(tmp_path: Path) -> None:
    """A ca.pem that is none is an error in words, at each try, and not the publisher's end."""
    (tmp_path / "ca.pem").write_text("-----BEGIN CERTIFICATE-----\nx\n")
    for name in ("client.pem", "client.key"):
        (tmp_path / name).write_text("")
    with socket.create_server(("127.0.0.1", 0)) as server:
        settings = check(
            {"publish_to": "kafka", "publish_servers": f"127.0.0.1:{server.getsockname()[1]}",
             "publish_secrets": str(tmp_path)}
        )  # fmt: skip

        with pytest.raises(SinkError, match=r"Kafka: .*ssl"):
            KafkaSink(settings).open()


def test_probe_of_nobody_is_told() -> None:
    """No list at all, too, is an error in words."""
    with pytest.raises(SinkError, match="publish_servers"):
        probe("")


def _checked(way: str, text: str, secrets: Path) -> Settings | None:
    try:
        return check(
            {"publish_to": way, "publish_servers": text, "publish_security": "plaintext",
             "publish_secrets": str(secrets)}
        )  # fmt: skip
    except SettingsError:
        return None


def _built(values: dict[str, str], folder: Path) -> list[str]:
    """Give what the builder says of these settings in image.yaml."""
    reader = Reader(place=Place(folder=folder, checkout=folder, home=folder))
    text = json.dumps({"service": values, "stages": []})
    reader.read(reader.parse_text(text.encode(), source="image.yaml"), Config)
    return [str(problem) for problem in reader.problems]
