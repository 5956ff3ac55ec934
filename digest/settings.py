"""One frozen Settings, from the environment and `.env`; every field is explained in `.env.example`."""

import math
import os
import re
import shlex
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from digest.errors import SettingsError
from digest.values import DEFAULT_WEIGHTS
from subscribers.addresses import normalise

PREFIX = "DIGEST_"
LAST_PORT = 65_535
LEAST_SECRET = 16  # letters
Words = Annotated[tuple[str, ...], NoDecode]
Weights = Annotated[dict[str, float], NoDecode]


class Settings(BaseSettings):
    """All that differs between two installations. Built once by `digest.app`; everything else is handed values."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore", env_ignore_empty=True)

    home: Path = Path("digest-data")
    database: str = ""
    outbox: Path | None = None
    templates: Path | None = None
    base_url: str = "http://localhost:8000"
    hash_key: SecretStr = SecretStr("")
    token_keys: SecretStr = SecretStr("")
    email_transport: Literal["outbox", "sendgrid", "smtp"] = "outbox"
    push_transport: Literal["outbox"] = "outbox"
    sendgrid_key: SecretStr = SecretStr("")
    sendgrid_host: str = "https://api.sendgrid.com"
    sendgrid_requests: int = Field(default=500, ge=1, le=1000)
    sendgrid_open: int = Field(default=4, ge=1, le=32)
    sendgrid_sandbox: bool = False
    smtp_servers: Words = ()
    smtp_security: Literal["starttls", "tls", "none"] = "starttls"
    smtp_user: str = ""
    smtp_password: SecretStr = SecretStr("")
    smtp_auth: Literal["auto", "plain", "login", "xoauth2"] = "auto"
    smtp_ca: Path | None = None
    smtp_connections: int = Field(default=10, ge=1, le=200)
    smtp_per_connection: int = Field(default=1000, ge=1)
    smtp_hello: str = ""
    smtp_bounces: str = ""
    smtp_verp: bool = False
    smtp_rates: str = ""
    smtp_domain_rates: str = ""
    smtp_ramp: str = ""
    smtp_patience: float = Field(default=1.0, ge=0.01, le=10)
    dkim_domain: str = ""
    dkim_keys: Words = ()
    dns_server: str = ""
    batch_size: int = Field(default=500, ge=50, le=1000)
    lease: float = Field(default=60.0, ge=2, le=3600)
    tracking: Literal["off", "aggregate", "personal"] = "off"
    tracking_days: int = Field(default=90, ge=1, le=3650)
    weights: Weights = dict(DEFAULT_WEIGHTS)
    cluster_threshold: float = Field(default=0.16, gt=0, lt=1)
    fetch_allow: Words = ()
    fetch_seconds: float = Field(default=10.0, gt=0, le=120)
    fetch_bytes: int = Field(default=5_000_000, ge=10_000, le=100_000_000)
    sendgrid_webhook_key: str = ""
    soft_bounces: int = Field(default=5, ge=1, le=100)
    soft_bounce_days: int = Field(default=30, ge=1, le=30)
    welcome: bool = True
    signup_days: int = Field(default=7, ge=1, le=60)
    event_days: int = Field(default=30, ge=7, le=400)
    copy_days: int = Field(default=7, ge=1, le=90)
    scrub_hour: int = Field(default=3, ge=0, le=23)
    signup_block: int = Field(default=20, ge=1)
    signup_brake: int = Field(default=1000, ge=1)
    signup_origins: Words = ()
    captcha_url: str = ""
    captcha_secret: SecretStr = SecretStr("")
    captcha_field: str = "captcha"
    captcha_script: str = ""
    alarm_email: Words = ()
    alarm_webhook: str = ""
    alarm_secret: SecretStr = SecretStr("")
    alarm_command: str = ""
    alarm_quiet: float = Field(default=10.0, ge=1, le=1440)
    alarm_stalled: float = Field(default=10.0, ge=1, le=1440)
    alarm_bounces: float = Field(default=5.0, gt=0, le=100)
    alarm_complaints: float = Field(default=0.3, gt=0, le=100)
    alarm_minimum: int = Field(default=200, ge=1)
    alarm_disk: int = Field(default=500, ge=1)
    heartbeat_url: str = ""
    log: Literal["words", "json"] = "words"
    log_level: Literal["debug", "info", "warning", "error"] = "warning"
    metrics_from: Words = ("127.0.0.0/8", "::1")
    listen: str = "127.0.0.1:8000"
    trusted_proxies: Words = ()

    @field_validator("weights", mode="before")
    @classmethod
    def _read_weights(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        pairs = dict(part.split("=", 1) for part in value.replace(" ", "").split(",") if "=" in part)
        unknown = set(pairs) - set(DEFAULT_WEIGHTS)
        if unknown or not pairs:
            raise ValueError(f"use name=number pairs with names from {', '.join(DEFAULT_WEIGHTS)}")
        return {**DEFAULT_WEIGHTS, **{name: float(number) for name, number in pairs.items()}}

    @field_validator("weights")
    @classmethod
    def _weigh_something(cls, value: dict[str, float]) -> dict[str, float]:
        if min(value.values()) < 0 or not 0 < sum(value.values()) < math.inf:
            raise ValueError("weights are 0 or more, and at least one is above 0")
        return value

    @field_validator(
        "fetch_allow", "smtp_servers", "dkim_keys", "trusted_proxies", "signup_origins", "alarm_email", "metrics_from",
        mode="before",
    )  # fmt: skip
    @classmethod
    def _split_words(cls, value: object) -> object:
        return tuple(word for word in value.replace(",", " ").split() if word) if isinstance(value, str) else value

    @field_validator("base_url")
    @classmethod
    def _plain_base(cls, value: str) -> str:
        if not value.startswith(("http://", "https://")) or any(c in value for c in "?# \r\n"):
            raise ValueError("use an address such as https://news.example.org, without query or fragment")
        return value.rstrip("/")

    @field_validator("sendgrid_key")
    @classmethod
    def _one_word(cls, value: SecretStr) -> SecretStr:
        key = value.get_secret_value()
        if key and not re.fullmatch(r"[\x21-\x7e]+", key):
            raise ValueError("an API key is one word without blanks or line ends")
        return value

    @field_validator("sendgrid_webhook_key")
    @classmethod
    def _verification_key(cls, value: str) -> str:
        if value:
            from digest.signatures import read_key  # cryptography, only where there is a key

            read_key(value)
        return value

    @field_validator("sendgrid_host")
    @classmethod
    def _private_way(cls, value: str) -> str:
        if not re.fullmatch(r"https://[a-z0-9.-]+(:\d+)?/?|http://(127\.0\.0\.1|localhost)(:\d+)?/?", value):
            raise ValueError(
                "use https://api.sendgrid.com or https://api.eu.sendgrid.com; the key travels with each request"
            )
        return value.rstrip("/")

    @field_validator("signup_origins")
    @classmethod
    def _origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for word in value:
            if not re.fullmatch(r"https?://[a-z0-9.-]+(:\d+)?", word):
                raise ValueError(f"{word!r} is no origin such as https://www.example.org: no path, small letters")
        return value

    @field_validator("captcha_url", "captcha_script", "alarm_webhook", "heartbeat_url")
    @classmethod
    def _plain_address(cls, value: str) -> str:
        if value and not re.fullmatch(r"https?://[A-Za-z0-9.:-]+/[\x21-\x7e]*", value):
            raise ValueError("use a whole address with its path, such as https://captcha.example.org/verify")
        return value

    @field_validator("listen")
    @classmethod
    def _place(cls, value: str) -> str:
        place = re.fullmatch(r"(?:\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]+):(\d{1,5})", value)
        if place is None or int(place[1]) > LAST_PORT:
            raise ValueError("use an address and a port, such as 127.0.0.1:8000 or [::1]:8000")
        return value

    @field_validator("alarm_email")
    @classmethod
    def _mailboxes(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for word in value:
            try:
                normalise(word)
            except ValueError as fault:
                raise ValueError(f"{word!r} is no address: {fault}") from None
        return value

    @field_validator("alarm_command")
    @classmethod
    def _command(cls, value: str) -> str:
        try:
            words = shlex.split(value)
        except ValueError as fault:
            raise ValueError(f"the command cannot be read: {fault}") from None
        if words and not Path(words[0]).is_absolute():
            raise ValueError("name the program by its whole path, such as /usr/local/bin/page-me")
        return value

    @model_validator(mode="after")
    def _signed(self) -> "Settings":
        if self.alarm_webhook and len(self.alarm_secret.get_secret_value()) < LEAST_SECRET:
            raise ValueError(
                "DIGEST_ALARM_WEBHOOK needs DIGEST_ALARM_SECRET of 16 letters or more, by which it knows our word; make one "
                "with: openssl rand -hex 32"
            )
        return self

    @field_validator("trusted_proxies", "metrics_from")
    @classmethod
    def _networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for word in value:
            try:
                ip_network(word)
            except ValueError:
                raise ValueError(f"{word!r} is no address or network such as 10.0.0.7 or 10.0.0.0/24") from None
        return value

    @model_validator(mode="after")
    def _events_outlast_bounces(self) -> Self:
        if self.event_days < self.soft_bounce_days:
            raise ValueError("DIGEST_EVENT_DAYS is shorter than DIGEST_SOFT_BOUNCE_DAYS, for which bounces are counted")
        return self

    @property
    def listen_at(self) -> tuple[str, int]:
        """Host and port."""
        host, _, port = self.listen.rpartition(":")
        return host.strip("[]"), int(port)

    @property
    def alarm_ways(self) -> tuple[str, ...]:
        """By which ways alarms are told, besides the log."""
        ways = {"email": self.alarm_email, "webhook": self.alarm_webhook, "command": self.alarm_command}
        return tuple(name for name, set_ in ways.items() if set_)

    @property
    def sqlite_file(self) -> Path:
        """Where the database is when it is SQLite."""
        return Path(self.database_url.removeprefix("sqlite:///"))

    @property
    def database_url(self) -> str:
        return self.database or f"sqlite:///{self.home / 'digest.sqlite'}"

    @property
    def outbox_folder(self) -> Path:
        return self.outbox or self.home / "outbox"


def read_settings(home: Path | None = None, **values: Any) -> Settings:
    """
    Settings from (strongest first) `values`, the environment, `./.env`, and the `.env` in the home folder.

    Raises:
        SettingsError: names the variable, what it held, and what is allowed.
    """
    given = {**values, **({"home": home} if home is not None else {})}
    try:
        place = Settings(_env_file=".env", **given).home
        files = (place / ".env", Path(".env"))
        return Settings(_env_file=files, **given)
    except ValidationError as error:
        raise SettingsError(_in_words(error)) from None


def _in_words(error: ValidationError) -> str:
    fault = error.errors()[0]
    name = PREFIX + str(fault["loc"][0]).upper() if fault["loc"] else PREFIX + "..."
    allowed = fault["msg"].removeprefix("Value error, ")
    secret = name.removeprefix(PREFIX) in {
        "HASH_KEY",
        "TOKEN_KEYS",
        "SENDGRID_KEY",
        "SMTP_PASSWORD",
        "CAPTCHA_SECRET",
        "ALARM_SECRET",
        "ALARM_WEBHOOK",
        "HEARTBEAT_URL",
    }
    held = "" if secret or name not in os.environ else f" ({os.environ[name]!r} is in the environment)"
    return f"{name} is wrong: {allowed}{held}. See .env.example for what it means."
