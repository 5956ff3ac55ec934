"""Settings: where they come from, and what a wrong one says."""

import re
from pathlib import Path

import pytest

from digest.errors import SettingsError
from digest.settings import Settings, read_settings

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def an_empty_place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        monkeypatch.delenv(f"DIGEST_{name.upper()}", raising=False)


def test_with_nothing_said_all_is_under_the_home_folder():
    settings = read_settings(Path("press"))
    assert settings.database_url == "sqlite:///press/digest.sqlite"
    assert settings.outbox_folder == Path("press/outbox")


def test_the_environment_wins_over_the_folder_and_the_folder_over_the_home(tmp_path, monkeypatch):
    (tmp_path / "press").mkdir()
    (tmp_path / "press" / ".env").write_text(
        "DIGEST_BATCH_SIZE=100\nDIGEST_LEASE=30\nDIGEST_BASE_URL=https://a.example\n"
    )
    (tmp_path / ".env").write_text("DIGEST_HOME=press\nDIGEST_BATCH_SIZE=200\nDIGEST_LEASE=31\n")
    monkeypatch.setenv("DIGEST_BATCH_SIZE", "300")
    settings = read_settings()
    assert (settings.batch_size, settings.lease, settings.base_url) == (300, 31, "https://a.example")


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("DIGEST_BATCH_SIZE", "5000", "less than or equal to 1000"),
        ("DIGEST_EMAIL_TRANSPORT", "pigeon", "'outbox'"),
        ("DIGEST_WEIGHTS", "charm=3", "recency, prominence, coverage, trust, first_time"),
        ("DIGEST_WEIGHTS", "recency=0,prominence=0,coverage=0,trust=0,first_time=0", "at least one is above 0"),
        ("DIGEST_BASE_URL", "javascript:alert(1)", "https://news.example.org"),
        ("DIGEST_LEASE", "soon", "number"),
        ("DIGEST_LISTEN", "8000", "127.0.0.1:8000"),
        ("DIGEST_LISTEN", "127.0.0.1:70000", "127.0.0.1:8000"),
        ("DIGEST_SENDGRID_WEBHOOK_KEY", "MFkw-cut-off", "MFkw"),
        ("DIGEST_SOFT_BOUNCE_DAYS", "90", "less than or equal to 30"),
        ("DIGEST_TRUSTED_PROXIES", "10.0.0.1 *", "'*'"),
        ("DIGEST_TRUSTED_PROXIES", "10.0.0.1/24", "10.0.0.0/24"),
    ],
)
def test_a_wrong_value_is_named_with_its_variable_and_what_is_allowed(monkeypatch, name, value, says):
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as caught:
        read_settings()
    assert name in str(caught.value)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_wrong_secret_is_never_repeated(monkeypatch):
    monkeypatch.setenv("DIGEST_HASH_KEY", "not-hex-but-secret")
    from digest.app import read_keys

    with pytest.raises(SettingsError) as caught:
        read_keys(read_settings())
    assert "not-hex-but-secret" not in str(caught.value)


def test_settings_cannot_be_changed_once_read():
    with pytest.raises(ValueError, match="frozen"):
        read_settings().batch_size = 100


def test_every_setting_is_explained_in_the_example_file_with_its_default():
    example = (ROOT / ".env.example").read_text()
    explained = set(re.findall(r"^# (DIGEST_[A-Z_]+)=", example, re.MULTILINE))
    assert explained == {f"DIGEST_{name.upper()}" for name in Settings.model_fields} | {"DIGEST_EDITOR"}
    for name in ("batch_size", "lease", "cluster_threshold", "fetch_bytes", "base_url", "home"):
        default = Settings.model_fields[name].default
        assert (
            f"DIGEST_{name.upper()}={default:g}"
            if isinstance(default, float)
            else f"DIGEST_{name.upper()}={default}" in example
        )
