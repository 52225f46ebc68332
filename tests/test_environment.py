"""Proxies and certificates of the environment: an unusable one is a typed error that names it, at construction."""

import os
import ssl
import subprocess
import sys

import pytest

import aimu
from aimu import aio
from aimu.errors import InvalidOptionError, ProviderConnectionError
from aimu.models._spec import ModelSpec
from aimu.providers import HTTP_PROVIDERS, make_provider
from aimu.providers._base import Request
from tests.raw_server import response, serving

HELLO = [{"role": "user", "content": "hello"}]
ANSWER = response(b'{"choices": [{"message": {"content": "hi"}, "finish_reason": "stop"}]}')
PROXIES = ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"]
PASSWORD = "pass-word-42"
CERTIFICATE = """\
-----BEGIN CERTIFICATE-----
MIIBdTCCARugAwIBAgIUTuVw313k0/CV13vcmTVbEofwtC4wCgYIKoZIzj0EAwIw
DzENMAsGA1UEAwwEdGVzdDAgFw0yNjExMjYwMDA3MTdaGA8yMTI2MTEwMjAwMDcx
N1owDzENMAsGA1UEAwwEdGVzdDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABFPo
WplAhOLryw8eeGIdlpnnE78lMyfk0Lk+Vg4L6wj7haKe8/TmbUQW7oyA/FZJlHzF
Rn7GJdA92AO+22QwZk2jUzBRMB0GA1UdDgQWBBTboCJrsZTSK3LDdvySQpjQ+7QV
iTAfBgNVHSMEGDAWgBTboCJrsZTSK3LDdvySQpjQ+7QViTAPBgNVHRMBAf8EBTAD
AQH/MAoGCCqGSM49BAMCA0gAMEUCIQC/w/JEXzk+b05hxAsjgWhkspYaQ66IFH6R
5l/5+V55aAIgeE6O4mKQAigcQqJ/CBa0d1seQ2z1b1Jn/YwUiPlMak0=
-----END CERTIFICATE-----
"""


@pytest.fixture(autouse=True)
def bare(monkeypatch):
    for name in (*PROXIES, "NO_PROXY", "no_proxy", "SSL_CERT_FILE", "SSL_CERT_DIR", "SSLKEYLOGFILE"):
        monkeypatch.delenv(name, raising=False)


def make(name="openai", url="http://127.0.0.1:9/v1", **options):
    return make_provider(ModelSpec("m", name), base_url=url, api_key="k", **options)


UNUSABLE = [
    "socks://localhost:1080",
    "socks4://localhost:1080",
    "ftp://localhost:21",
    "http://localhost:port",
    "http://localhost:99999",
    "http://localhost:0",
    "http://",
    "localhost:8080:90",
    "http://[::1",
    "http://user:{password}@localhost:port",
    "user:{password}@localhost:port",
    "socks://user:{password}@localhost:1",
    "http://local host:80",
]


@pytest.mark.parametrize("value", UNUSABLE)
@pytest.mark.parametrize("variable", PROXIES)
def test_an_unusable_proxy_is_named_with_its_value_but_not_its_password(variable, value, monkeypatch):
    monkeypatch.setenv(variable, value.format(password=PASSWORD))
    with pytest.raises(InvalidOptionError) as caught:
        make()
    text = str(caught.value)
    assert f"environment variable {variable} has the value " in text
    assert value.replace("user:{password}", "***") in text
    assert PASSWORD not in f"{text} {caught.value.__cause__!r} {caught.value.__context__!r}"


@pytest.mark.parametrize("name", HTTP_PROVIDERS)
def test_every_provider_and_both_surfaces_find_it_at_construction(name, monkeypatch):
    monkeypatch.setenv("ALL_PROXY", "socks://localhost:1080")
    url = "http://127.0.0.1:9"
    for make_client in (aimu.client, aio.client):
        with pytest.raises(InvalidOptionError, match=r"ALL_PROXY .*'socks://localhost:1080'.* write socks5h://"):
            make_client(f"{name}:m", base_url=url, api_key="k")


@pytest.mark.parametrize("scheme", ["socks5", "socks5h"])
def test_a_socks_proxy_without_its_package_says_what_to_install(scheme, monkeypatch):
    monkeypatch.setitem(sys.modules, "socksio", None)
    monkeypatch.setenv("https_proxy", f"{scheme}://user:{PASSWORD}@localhost:1080")
    with pytest.raises(
        InvalidOptionError, match=rf"https_proxy .*'{scheme}://\*\*\*@localhost:1080'.*pip install socksio"
    ):
        make()


@pytest.mark.parametrize(
    "value",
    [
        "[::1]",
        "::1",
        "[::1]:80",
        "127.0.0.1",
        "127.0.0.0/8",
        "10.0.0.0/99",
        "fe80::/10",
        "*",
        ".x",
        "a,,b",
        "[",
        "::1/x",
    ],
)
@pytest.mark.parametrize("variable", ["NO_PROXY", "no_proxy"])
async def test_every_form_of_no_proxy_is_read(variable, value, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv(variable, value)
    with serving(lambda request: [ANSWER]) as served:
        provider = make(url=served.url)
        if value in ("127.0.0.1", "127.0.0.0/8", "*"):
            assert (await provider.complete(Request(messages=HELLO))).text == "hi"
        else:
            with pytest.raises(ProviderConnectionError, match=r"the proxy HTTP_PROXY='http://127\.0\.0\.1:9' between"):
                await provider.complete(Request(messages=HELLO))
        await provider.aclose()


async def test_a_proxy_that_fails_is_named_without_its_password(monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", f"http://user:{PASSWORD}@127.0.0.1:9")
    provider = make(url="http://api.test")
    with pytest.raises(ProviderConnectionError) as caught:
        await provider.complete(Request(messages=HELLO))
    assert "HTTP_PROXY='http://***@127.0.0.1:9'" in str(caught.value)
    assert PASSWORD not in str(caught.value)
    await provider.aclose()


async def test_a_variable_that_changes_before_the_first_request_is_found_then(monkeypatch):
    provider = make()
    monkeypatch.setenv("HTTP_PROXY", "http://localhost:port")
    with pytest.raises(InvalidOptionError, match="HTTP_PROXY"):
        await provider.complete(Request(messages=HELLO))


async def test_an_mcp_server_over_http_is_not_asked_with_an_unusable_variable(monkeypatch, tmp_path):
    servers = {"mcpServers": {"far": {"url": "http://127.0.0.1:9/mcp"}}}
    for variable, value in (("HTTP_PROXY", "http://localhost:port"), ("SSL_CERT_FILE", str(tmp_path / "missing.pem"))):
        monkeypatch.setenv(variable, value)
        with pytest.raises(InvalidOptionError, match=f"{variable} has the value '{value}'"):
            await aio.MCPClient.connect(config=servers)
        monkeypatch.delenv(variable)


def unusable_certificates(folder):
    (folder / "empty.pem").touch()
    (folder / "words.pem").write_text("no certificate")
    return {
        ("SSL_CERT_FILE", folder / "missing.pem"): "No such file",
        ("SSL_CERT_FILE", folder / "empty.pem"): "no certificates in PEM format",
        ("SSL_CERT_FILE", folder / "words.pem"): "no certificates in PEM format",
        ("SSL_CERT_FILE", folder): "name a file with certificates",
        ("SSL_CERT_DIR", folder / "missing"): "no such folder",
        ("SSL_CERT_DIR", folder / "empty.pem"): "no such folder",
    }


def test_unusable_certificates_are_named_at_construction(tmp_path, monkeypatch):
    for (variable, value), reason in unusable_certificates(tmp_path).items():
        monkeypatch.setenv(variable, str(value))
        for name in ("openai", "anthropic", "ollama"):
            with pytest.raises(InvalidOptionError, match=rf"{variable} has the value '.*{value.name}'.*{reason}"):
                make(name)
        monkeypatch.delenv(variable)
    (tmp_path / "right.pem").write_text(CERTIFICATE)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "right.pem"))
    make()
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "missing" / "log"))
    with pytest.raises(InvalidOptionError, match=r"SSLKEYLOGFILE .*/missing/log'.*name a file that can be written"):
        make()


def test_usable_values_and_a_client_of_the_user_pass(tmp_path, monkeypatch):
    import httpx2

    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    monkeypatch.setenv("ALL_PROXY", "proxy.test:3128")
    monkeypatch.setenv("HTTPS_PROXY", "https://user:word@[::1]:3128/")
    make()
    http = httpx2.AsyncClient(verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), trust_env=False)
    monkeypatch.setenv("ALL_PROXY", "socks://proxy.test")
    make(http_client=http)


def test_the_tests_take_no_notice_of_what_a_machine_has_set_for_its_user():
    for_the_user = dict.fromkeys([*PROXIES, "NO_PROXY", "OPENAI_API_KEY", "VLLM_BASE_URL", "HF_TOKEN", "NO_COLOR"], "x")
    look = f"import os, tests.conftest; print({set(for_the_user)} & set(os.environ))"
    done = subprocess.run([sys.executable, "-c", look], env=os.environ | for_the_user, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("set()\n", "")
