"""What keeps the explorer from running what it is given: python -m pytest tests/test_security.py"""

import ast
import http.client
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from tests.browser.conftest import begin, end

ROOT = Path(__file__).parents[1]
SOURCES = [ROOT / "app.py", *(path for folder in ("explorer", "pages") for path in (ROOT / folder).rglob("*.py"))]
UNPICKLE = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "yaml", "jsonpickle"}
RUN = {"eval", "exec", "compile", "execfile"}  # built in
SHELL = {
    "os.system", "os.popen", "os.execv", "os.spawnv", "subprocess.getoutput", "subprocess.getstatusoutput",
    "pty.spawn", "runpy.run_path", "code.interact",
}  # fmt: skip
LOAD = {"torch.load", "torch.hub.load", "pd.read_pickle", "pandas.read_pickle", "np.fromfile"}
SAFE = {"np.load": ("allow_pickle", False), "np.save": ("allow_pickle", False)}
REMOTE = ("AutoTokenizer", "AutoImageProcessor", "AutoConfig", "AutoModel")
WRITERS = re.compile(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|DOMParser")
CONSTANTS = {"kind.html", "kind.hint", "ICONS[name]"}  # what may stand in a template of HTML: written by us


def place_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def dangers(source: str) -> list[str]:
    """What a module does that could run what it is given."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [name.name for name in node.names if name.name.split(".")[0] in UNPICKLE]
        elif isinstance(node, ast.ImportFrom):
            found += [node.module] if (node.module or "").split(".")[0] in UNPICKLE else []
        elif isinstance(node, ast.Call):
            name, given = ast.unparse(node.func), {word.arg: word.value for word in node.keywords}
            if name in RUN or name in SHELL or name in LOAD:
                found.append(name)
            if "shell" in given and not _is(given["shell"], False):
                found.append(f"{name} with a shell")
            if "trust_remote_code" in given and not _is(given["trust_remote_code"], False):
                found.append(f"{name} with code from elsewhere")
            if name.endswith(".from_pretrained") and name.startswith(REMOTE) and "trust_remote_code" not in given:
                found.append(f"{name} without saying whose code it runs")
            if name in SAFE and not _is(given.get(SAFE[name][0]), SAFE[name][1]):
                found.append(f"{name} that may unpickle")
            if "weights_only" in given and not _is(given["weights_only"], True):
                found.append(f"{name} that unpickles")
            if "unsafe_allow_html" in given or "unsafe_allow_javascript" in given:
                found.append(f"{name} with HTML")
    return found


def _is(node: ast.expr | None, value: bool) -> bool:
    return isinstance(node, ast.Constant) and node.value is value


@pytest.mark.parametrize("path", SOURCES, ids=place_of)
def test_no_module_unpickles_evaluates_or_opens_a_shell(path):
    assert dangers(path.read_text("utf-8")) == []


@pytest.mark.parametrize(
    "source",
    [
        "import pickle", "from joblib import load", "import yaml", "eval('1')", "exec(x)", "torch.load(path)",
        "os.system('ls')", "subprocess.run('ls', shell=True)", "AutoModel.from_pretrained(x, trust_remote_code=True)",
        "AutoTokenizer.from_pretrained(x)", "np.load(path)", "np.load(path, allow_pickle=True)", "pd.read_pickle(x)",
        "f(weights_only=False)", "st.markdown(x, unsafe_allow_html=True)",
    ],
)  # fmt: skip
def test_each_of_these_would_be_found(source):
    assert dangers(source)


def test_html_is_shown_at_few_places_each_of_which_has_its_test():
    places = {
        place_of(path)
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("st.html", "st.iframe", "components.html")
    }
    assert places == {
        f"explorer/ui/{name}.py"
        for name in ("activations/tokens", "activations/wants", "calm", "history", "lesson", "page", "tour")
    }


@pytest.mark.parametrize("path", sorted((ROOT / "explorer/ui/components").glob("*.js")), ids=lambda path: path.name)
def test_components_write_no_html_but_their_own(path):
    source = path.read_text("utf-8")
    for found in WRITERS.finditer(source):
        assert found[0] == "innerHTML"
        given = re.match(r"innerHTML = (`[^`]*`|\"[^\"]*\")", source[found.start() :])
        assert given, source[found.start() : found.start() + 80]
        assert set(re.findall(r"\$\{([^}]*)\}", given[1])) <= CONSTANTS
    for name in ("html", "hint"):  # they are written out where they stand
        for value in re.findall(rf"^\s+{name}: (.)", source, re.MULTILINE):
            assert value in '`"'
    for template in re.findall(r"^\s+html: `([^`]*)`", source, re.MULTILINE):
        assert "${" not in template


# ---- the server ----


def test_the_server_checks_who_asks_and_tells_strangers_little():
    told = tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text("utf-8"))
    wanted = {
        "enableXsrfProtection": True, "enableCORS": True, "xsrfCookieSameSite": "lax", "enableStaticServing": False,
        "enableAgentApi": False,
    }  # fmt: skip
    assert told["server"] | wanted == told["server"]
    assert not {"corsAllowedOrigins", "allowedHosts", "trustedUserHeaders"} & set(told["server"])
    assert told["client"] == {"showErrorDetails": "type", "showErrorLinks": False, "toolbarMode": "viewer"}
    assert told["browser"]["gatherUsageStats"] is False


def test_the_server_takes_no_larger_file_than_its_mode_does(monkeypatch):
    from streamlit import config

    from explorer.settings import settings

    before = config.get_option("server.maxUploadSize")
    monkeypatch.setenv("EXPLORER_UPLOAD", str(3 * 2**20))
    settings.cache_clear()
    try:
        AppTest.from_file(str(ROOT / "app.py"), default_timeout=60).run()
        assert config.get_option("server.maxUploadSize") == 3
    finally:
        config.set_option("server.maxUploadSize", before)


@pytest.fixture(scope="module")
def address(tmp_path_factory) -> Iterator[str]:
    """A server of its own, on a small limit for uploads."""
    data = str(tmp_path_factory.mktemp("data"))
    server, at = begin(ROOT / "app.py", {"EXPLORER_DATA": data, "EXPLORER_SHARED": "1"})
    yield at
    end(server)


def handshake(address: str, origin: str | None) -> int:
    """The answer to a request for a websocket that a page of `origin` makes."""
    headers = {
        "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Protocol": "streamlit",
    }  # fmt: skip
    connection = http.client.HTTPConnection(address, timeout=20)
    try:
        connection.request("GET", "/_stcore/stream", headers=headers | ({"Origin": origin} if origin else {}))
        return connection.getresponse().status
    finally:
        connection.close()


def test_a_page_from_elsewhere_gets_no_websocket(address):
    assert handshake(address, f"http://{address}") == 101
    for origin in ("http://evil.test", "https://evil.test", "http://127.0.0.1.evil.test", "null", "file://"):
        assert handshake(address, origin) == 403, origin


def test_a_page_from_elsewhere_reads_nothing_and_uploads_nothing(address):
    connection = http.client.HTTPConnection(address, timeout=20)
    for path in ("/_stcore/health", "/_stcore/host-config", "/"):
        connection.request("GET", path, headers={"Origin": "http://evil.test"})
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 200
        assert answer.getheader("Access-Control-Allow-Origin") is None
    connection.request("PUT", "/_stcore/upload_file/session/file", b"x", {"Origin": "http://evil.test"})
    assert connection.getresponse().status == 403
    connection.close()


@pytest.mark.parametrize(
    "path", ["/../app.py", "/static/../../../etc/passwd", "/%2e%2e/app.py", "/app.py", "/media/../app.py"]
)
def test_no_file_of_the_server_is_handed_out(address, path):
    connection = http.client.HTTPConnection(address, timeout=20)
    connection.request("GET", path)
    body = connection.getresponse().read()
    assert b"root:" not in body
    assert b"st.set_page_config" not in body
    connection.close()
