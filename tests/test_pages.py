"""The files of the demo's page: what each is answered with, and that there are no others.

Rows H10 and H11 of hostile input: paths that lead elsewhere, and what a file server would show.
"""

import gzip
from collections.abc import Iterator
from pathlib import Path

import pytest

from chordme_daemon import pages
from chordme_daemon.web import Folder
from tests.test_web import NOT_FOUND, Answer, request

SCRIPT = b"export const song = 1;" * 100
PAGE = b'<!doctype html><script nonce="{nonce}"></script><style nonce="{nonce}"></style>'
NAME = "main-x1.js"


@pytest.fixture
def built(tmp_path: Path) -> Path:
    """A page as Vite leaves it, beside something that is nobody's business."""
    (tmp_path / "secret.txt").write_text("secret")
    directory = tmp_path / "page"
    (directory / "assets").mkdir(parents=True)
    (directory / "index.html").write_bytes(PAGE)
    (directory / "assets" / NAME).write_bytes(SCRIPT)
    (directory / "assets" / f"{NAME}.br").write_bytes(b"brotli")
    (directory / "assets" / f"{NAME}.gz").write_bytes(gzip.compress(SCRIPT))
    (directory / "assets" / "font-x2.woff2").write_bytes(b"font")
    (directory / "assets" / ".hidden").write_text("hidden")
    (directory / "assets" / "notes.md").write_text("notes")
    (directory / "assets" / "sub").mkdir()
    (directory / "assets" / "sub" / "deep-x3.js").write_text("deep")
    return directory


@pytest.fixture
def site(built: Path) -> Folder:
    files = pages.read(built)
    nonces: Iterator[str] = iter(["first", "second", "third"])
    page = pages.page(files, lambda: next(nonces))
    assert page is not None
    return Folder({"": page, "demo": Folder({"assets": pages.assets(files)})})


def asset(site: Folder, *headers: bytes, method: str = "GET") -> Answer:
    return request(site, f"/demo/assets/{NAME}", *headers, method=method)


def test_the_page_is_asked_for_each_time_and_has_a_nonce_of_its_own(site: Folder) -> None:
    for nonce in ("first", "second"):
        answer = request(site, "/")
        assert answer.status == 200
        assert answer.body == PAGE.replace(b"{nonce}", nonce.encode())
        assert f"style-src 'self' 'nonce-{nonce}';" in answer.headers["content-security-policy"]
        assert answer.headers["cache-control"] == "no-cache"
        assert answer.headers["content-type"] == "text/html; charset=utf-8"


def test_the_page_may_do_nothing_that_it_does_not_need(site: Folder) -> None:
    policy = request(site, "/").headers["content-security-policy"]
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == rules["frame-ancestors"] == rules["base-uri"] == "'none'"
    assert rules["script-src"] == "'self'"
    assert rules["connect-src"] == "'self' ws://x wss://x"
    assert "unsafe" not in policy
    assert "*" not in policy


def test_a_file_is_named_by_its_content_and_never_asked_for_again(site: Folder) -> None:
    answer = asset(site)
    assert (answer.status, answer.body) == (200, SCRIPT)
    assert answer.headers["content-type"] == "text/javascript; charset=utf-8"
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["vary"] == "accept-encoding"
    font = request(site, "/demo/assets/font-x2.woff2", b"Accept-Encoding: br, gzip")
    assert (font.body, font.headers["content-type"]) == (b"font", "font/woff2")
    assert "content-encoding" not in font.headers


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        (b"gzip, deflate, br, zstd", "br"),
        (b"gzip;q=1.0, br;q=0.5", "br"),
        (b"gzip, br;q=0", "gzip"),
        (b"GZIP , BR;Q=0.000", "gzip"),
        (b"deflate, gzip", "gzip"),
        (b"identity", None),
        (b"*", None),
        (b"", None),
        (b",;,=", None),
        (b"\xff\xfe", None),
    ],
)
def test_a_file_is_compressed_for_whoever_takes_it_so(
    site: Folder, accepted: bytes, coding: str | None
) -> None:
    answer = asset(site, b"Accept-Encoding: " + accepted)
    assert answer.headers.get("content-encoding") == coding
    assert answer.headers["content-length"] == str(len(answer.body))
    if coding == "gzip":
        assert gzip.decompress(answer.body) == SCRIPT
    else:
        assert answer.body == (SCRIPT if coding is None else b"brotli")


def test_who_has_a_file_is_told_so_and_no_more(site: Folder) -> None:
    tag = asset(site).headers["etag"]
    compressed = asset(site, b"Accept-Encoding: br").headers["etag"]
    assert tag != compressed
    for known in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        answer = asset(site, b"If-None-Match: " + known.encode())
        assert (answer.status, answer.body) == (304, b""), known
        assert answer.headers["etag"] == tag
        assert "content-length" not in answer.headers
        assert "content-type" not in answer.headers
    for unknown in (compressed, '"other"', "", tag.strip('"')):
        assert asset(site, b"If-None-Match: " + unknown.encode()).status == 200, unknown


def test_head_tells_all_but_the_body(site: Folder) -> None:
    for path in ("/", f"/demo/assets/{NAME}"):
        whole = request(site, path, b"Accept-Encoding: gzip")
        head = request(site, path, b"Accept-Encoding: gzip", method="HEAD")
        assert (head.status, head.body) == (200, b"")
        assert head.headers.keys() == whole.headers.keys()
    assert head.headers == whole.headers


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PROPFIND"])
def test_nothing_but_get_and_head_is_answered(site: Folder, method: str) -> None:
    for path in ("/", f"/demo/assets/{NAME}"):
        answer = request(site, path, method=method)
        assert (answer.status, answer.headers["allow"]) == (405, "get, head")


@pytest.mark.parametrize(
    "path",
    [
        *("/index.html", "/demo/", "/demo", "/demo/index.html", "/demo/assets", "/demo/assets/"),
        *("/demo/assets/.hidden", "/demo/assets/notes.md", f"/demo/assets/{NAME}.br"),
        *("/demo/assets/sub", "/demo/assets/sub/", "/demo/assets/sub/deep-x3.js"),
        *("/demo/assets/../secret.txt", "/demo/assets/../../secret.txt", "/secret.txt"),
        *("/demo/assets/%2e%2e/secret.txt", "/demo/assets/..%2fsecret.txt"),
        *(
            "/demo/assets/..%5csecret.txt",
            "/demo/assets//etc/passwd",
            "/demo/assets/%2fetc%2fpasswd",
        ),
        *("/demo/assets/main-x1.js/", "/demo/assets/main-x1.js/x", "/demo/assets/main-x1.js%00"),
        *("/demo/assets/%00", "/demo/assets/" + "a" * 10_000, "/demo/assets/MAIN-X1.JS"),
    ],
)
def test_what_is_not_one_of_the_files_is_not_there(site: Folder, path: str) -> None:
    answer = request(site, path)
    assert (answer.status, answer.json) == (404, NOT_FOUND)


def test_a_file_is_read_once(site: Folder, built: Path) -> None:
    (built / "assets" / NAME).write_bytes(b"changed")
    assert asset(site).body == SCRIPT


def test_a_link_to_elsewhere_is_no_file(built: Path) -> None:
    (built / "assets" / "link-x4.js").symlink_to(built.parent / "secret.txt")
    assert "assets/link-x4.js" not in pages.read(built)


def test_a_page_that_was_not_built_is_none(tmp_path: Path) -> None:
    files = pages.read(tmp_path)
    assert not pages.is_built(tmp_path)
    assert files == {}
    assert pages.page(files, str) is None
    assert request(pages.assets(files), f"/{NAME}").status == 404
