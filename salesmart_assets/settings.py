"""Every knob of the platform: one environment variable `SALESMART_…` each, typed, with a default that is right.

Belongs here: what a user may set, what it means, and paths that follow from it. Does not belong here: what is done with it.
"""

from __future__ import annotations

import hashlib
import json
import re
from datetime import date, time
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, get_args
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from salesmart_assets.errors import UsageError
from salesmart_assets.security.given import DEFAULT_FILE, DEFAULT_KEY_FILE, Given
from salesmart_assets.security.vaults import OpenSecretsManager, open_secrets_manager

PREFIX = "SALESMART_"
Source = Literal["sales", "customers", "stores", "products", "sales_team"]
SOURCE_NAMES = get_args(Source)
RATE_DECIMALS = 8
"""Most decimal places of an incentive's rate."""
_SECRET_LENGTH = 16


def _first_day(value: Any) -> Any:
    """The first day of a month that is given as `2026-07` or by that day. A policy holds for whole months."""
    month = re.fullmatch(r"(\d{4}-\d\d)(-01)?", str(value))
    if month is None:
        raise ValueError(f"{value} is no month: write it as 2026-07")
    return f"{month[1]}-01"


def hour_and_minute(time: str) -> tuple[int, int]:
    """The parts of a time of day.

    >>> hour_and_minute("07:30")
    (7, 30)
    """
    hour, minute = time.split(":")
    return int(hour), int(minute)


Month = Annotated[date, BeforeValidator(_first_day)]
"""A month, by its first day."""


class IncentivePolicy(BaseModel):
    """How the top sellers of a store are paid, from a month on.

    Source of the rule: the known systems of this kind pay 1 % of their own total to rank 1 of each store and month.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    from_month: Month = date(1970, 1, 1)
    rate: Decimal = Field(Decimal("0.01"), ge=0, le=1, decimal_places=RATE_DECIMALS)
    top: int = Field(1, ge=1)
    ties: Literal["all", "split", "none"] = "all"


class CouponPolicy(BaseModel):
    """The coupon of a customer for a month, from a month on: percent by segment, and how long it is valid."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    from_month: Month = date(1970, 1, 1)
    loyal_percent: int = Field(10, ge=0, le=100)
    regular_percent: int = Field(7, ge=0, le=100)
    occasional_percent: int = Field(5, ge=0, le=100)
    valid_days: int = Field(30, ge=1)


class GraphSettings(NamedTuple):
    """The settings that give the asset graph its shape: all that may be asked for while the definitions are imported."""

    landing: str
    lake_uri: str
    contracts: Path | None
    first_batch_date: date
    report_time: str
    report_timezone: str
    upkeep_time: str


_OF_THE_GRAPH = frozenset({"home", "lake", *GraphSettings._fields})
"""The settings that those follow from."""


class Settings(BaseSettings):
    """The settings of one installation, from the environment and the file of encrypted settings.

    Raises `UsageError` (through `load`) with the variable's name when a value cannot be used.
    """

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="ignore", frozen=True, hide_input_in_errors=True)

    home: Path = Field(Path(".salesmart"), description="Folder of all local state: objects, lake, databases, reports, Dagster's history.")
    landing: str = Field(
        "s3://salesmart/landing",
        description="Landing zone. Producers drop objects under LANDING/SOURCE/dt=YYYY-MM-DD/FILE.",
        pattern=r"^s3://[^/]+(/.*)?$",
    )
    s3_endpoint_url: str | None = Field(
        None,
        description=(
            "S3 endpoint: the address of a store, or `aws` for Amazon S3. `local`, or nothing, starts the built-in one over HOME/s3."
        ),
    )
    s3_access_key_id: str | None = Field(None, description="S3 access key. Empty: the standard AWS credential chain.")
    s3_secret_access_key: SecretStr | None = Field(None, description="S3 secret key. Empty: the standard AWS credential chain.")
    s3_region: str = Field("us-east-1", description="S3 region.")
    lake: str | None = Field(None, description="Where the Delta tables live: a folder or s3://bucket/prefix. Default HOME/lake.")
    database_url: SecretStr | None = Field(
        None, description="Database of the marts, an SQLAlchemy URL such as mysql+pymysql://user:password@host/db. Default SQLite in HOME."
    )
    ledger_url: SecretStr | None = Field(
        None, description="Database of the ledger. Default: beside the marts; where those are on SQLite, HOME/ledger.db."
    )
    dagster_url: SecretStr | None = Field(
        None,
        description=(
            "Database of Dagster's own history, such as mysql+pymysql://user:password@host/dagster; needs `salesmart[mysql-instance]`. "
            "Default SQLite in HOME."
        ),
    )
    spark: str = Field(
        "sail",
        description="Engine: sail, local[*], spark://host:7077 or sc://host:15002.",
        pattern=r"^(sail|local(\[[^\]]+\])?|spark://.+|sc://.+)$",
    )
    spark_jars: Path | None = Field(
        None, description="Folder of jars that Apache Spark gets, as `make jars` fills it: a lake on S3 needs those of hadoop-aws."
    )
    contracts: Path | None = Field(None, description="Folder with contracts that override the packaged ones, SOURCE.yaml each.")
    archive: Literal["auto", "always", "never"] = Field(
        "auto", description="Move finished objects to processed/ or error/. auto: where the store lets it be done without loss."
    )
    first_batch_date: date = Field(date(2010, 1, 1), description="First batch date; earlier dt= values reject their file.")
    on_unfinished: Literal["repair", "block"] = Field(
        "repair", description="What a run does with files a crashed run left unfinished: repair them, or stop and name them."
    )
    workers: int = Field(2, ge=1, le=64, description="Files parsed at the same time.")
    sensor_runs: int = Field(8, ge=1, description="Most runs that the sensor has asked for at once; the oldest batches come first.")
    sensor_interval_seconds: float = Field(
        60,
        ge=0,
        description="The sensor runs a batch date at most once in so many seconds, so that files that land all day are taken together.",
    )
    retry_seconds: float = Field(60, ge=0, description="Pause before a batch that failed is tried again; doubled with each further try.")
    max_attempts: int = Field(3, ge=1, description="How often the sensor tries a batch before its files are given up.")
    lease_seconds: int = Field(60, ge=5, description="How long a writer on another host may stay silent before its lease is taken over.")
    incentive: Annotated[tuple[IncentivePolicy, ...], NoDecode] = Field(
        (IncentivePolicy(),), description="Incentive policies, a JSON list; each holds from its from_month on (rate, top, ties)."
    )
    coupon: Annotated[tuple[CouponPolicy, ...], NoDecode] = Field(
        (CouponPolicy(),), description="Coupon policies, a JSON list; each holds from its from_month on (percent by segment, valid_days)."
    )
    coupon_secret: SecretStr | None = Field(
        None, description="Secret of the coupon codes, of 16 signs or more. Empty: one is made and kept in HOME."
    )
    expiry_days: int = Field(30, ge=0, description="The daily report and a check tell of products that expire within so many days.")
    currency: str = Field("", description="Currency sign shown in reports, such as € or ₹.", max_length=8)
    report_time: str = Field(
        "07:00", description="When reports are made by schedule: the daily one of the day before, on the first the monthly one, too."
    )
    report_timezone: str = Field(
        "UTC", description="Time zone of that hour, and of what is the day before; an IANA name such as Europe/Berlin."
    )
    retention_days: int = Field(
        7, ge=1, description="Days for which earlier versions of the lake's tables stay readable; upkeep then removes what only they show."
    )
    report_days: int = Field(
        400, ge=0, description="Days that daily reports are kept; `salesmart report` makes an older one again. 0: for ever."
    )
    upkeep_time: str = Field("03:30", description="When upkeep runs by schedule, in the time zone of the reports.")
    log_megabytes: int = Field(
        100, ge=1, description="Most disk that the log of each level takes, in megabytes; the oldest lines go first."
    )
    ui_url: str = Field("", description="Address under which people reach Dagster's UI, for links in alerts. Default: that of PORT, here.")
    alert_email_to: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Who gets alerts by e-mail: addresses, separated by commas. Empty: nobody."
    )
    alert_email_from: str = Field(
        "", description="Sender of the e-mails. Default: the user of the mail server, or else the first recipient."
    )
    alert_smtp_url: SecretStr | None = Field(
        None,
        description=(
            "Mail server: smtp://user:password@host:587, made secure by STARTTLS, or smtps://user:password@host:465. Never without TLS."
        ),
    )
    alert_slack_url: SecretStr | None = Field(None, description="Address of a Slack-compatible webhook that gets alerts. Empty: none.")
    alert_webhook_url: SecretStr | None = Field(None, description="Address of an HTTP webhook that gets alerts as JSON. Empty: none.")
    alert_rejected_ratio: float = Field(
        0.05, ge=0, le=1, description="Share of a batch's rows of a source that may be rejected before it is told."
    )
    alert_deadlines: Annotated[dict[Source, Annotated[float, Field(gt=0)]], NoDecode] = Field(
        {}, description="Hours after a batch date begins, UTC, by which a source must be loaded, such as sales=30,stores=54. Empty: none."
    )
    alert_daily_at: time | None = Field(None, description="Time of the daily word that all went well, UTC, such as 06:30. Empty: none.")
    port: int = Field(3000, ge=1, le=65535, description="Port of Dagster's UI in `salesmart dev`, on 127.0.0.1.")
    s3_local_url: str | None = Field(None, description="A running local endpoint of this HOME; `salesmart dev` sets it for its processes.")
    s3_port: int = Field(9878, ge=1, le=65535, description="Port of the local S3 endpoint in `salesmart dev`.")
    secrets_file: Path = Field(DEFAULT_FILE, description="File of encrypted settings; it may be committed.")
    secrets_key_file: Path = Field(DEFAULT_KEY_FILE, description="Key of the encrypted settings; it lies outside of the project.")
    secrets_passphrase: SecretStr | None = Field(None, description="Passphrase of the encrypted settings, instead of a key file.")
    _hidden: frozenset[str] = PrivateAttr(frozenset())

    @field_validator("incentive", "coupon", mode="before")
    @classmethod
    def _from_json(cls, value: Any) -> Any:
        try:
            found = json.loads(value, parse_float=Decimal) if isinstance(value, str) else value
        except json.JSONDecodeError as error:
            raise ValueError(f"it takes a JSON list, and this is none ({error})") from None
        if not isinstance(found, (list, tuple)):
            raise ValueError('it takes a JSON list, such as [{"from_month": "2026-07"}]')  # noqa: TRY004 - pydantic tells of a ValueError, not of a TypeError
        return found

    @field_validator("incentive", "coupon")
    @classmethod
    def _one_a_month(cls, value: tuple[Any, ...]) -> tuple[Any, ...]:
        months = [policy.from_month for policy in value]
        twice = next((month for month in months if months.count(month) > 1), None)
        if twice is not None:
            raise ValueError(f"two policies hold from {twice:%Y-%m}; keep one of them")
        return value

    @field_validator("coupon_secret")
    @classmethod
    def _hard_to_guess(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and 0 < len(value.get_secret_value()) < _SECRET_LENGTH:
            raise ValueError(f"it needs {_SECRET_LENGTH} signs or more, so that nobody guesses it")
        return value

    @field_validator("report_time", "upkeep_time")
    @classmethod
    def _an_hour(cls, value: str) -> str:
        if not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", value):
            raise ValueError(f"{value!r} is no time of day, write it as HH:MM, such as 07:00")
        return value

    @field_validator("report_timezone")
    @classmethod
    def _a_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ValueError, OSError, ZoneInfoNotFoundError):
            # A folder of the zones' files, or a path out of it, is no zone either.
            raise ValueError(f"{value!r} is no time zone, give an IANA name such as Europe/Berlin or UTC") from None
        return value

    @field_validator("alert_email_to", mode="before")
    @classmethod
    def _from_list(cls, value: Any) -> Any:
        return tuple(filter(None, (part.strip() for part in value.split(",")))) if isinstance(value, str) else value

    @field_validator("alert_email_to")
    @classmethod
    def _addresses(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        wrong = next((address for address in value if not re.fullmatch(r"[^@\s<>]+@[^@\s<>]+", address)), None)
        if wrong is not None:
            raise ValueError(f"{wrong} is no address such as ann@example.com")
        return value

    @field_validator("alert_deadlines", mode="before")
    @classmethod
    def _from_pairs(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        pairs = [part.partition("=") for part in value.split(",") if part.strip()]
        return {source.strip(): hours.strip() for source, _, hours in pairs}

    @field_validator("alert_daily_at", mode="before")
    @classmethod
    def _empty_is_none(cls, value: Any) -> Any:
        return value or None

    @field_validator("alert_smtp_url", "alert_slack_url", "alert_webhook_url")
    @classmethod
    def _reachable(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        """The text of a mistake does not repeat the address, which is a secret."""
        if value is None or not value.get_secret_value():
            return None
        schemes = ("smtp", "smtps") if info.field_name == "alert_smtp_url" else ("http", "https")
        try:
            parts = urlsplit(value.get_secret_value())
            fits = parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
        except ValueError:
            fits = False
        if not fits or (schemes[0] == "http" and "@" in parts.netloc):
            raise ValueError(f"write it as {schemes[0]}://… or {schemes[1]}://…, with special signs of a password as %XX")
        return value

    @field_validator("s3_endpoint_url")
    @classmethod
    def _without_keys(cls, value: str | None) -> str | None:
        if value and "@" in value.partition("//")[2].partition("/")[0]:
            raise ValueError(f"keys have no place in an address, use {PREFIX}S3_ACCESS_KEY_ID and {PREFIX}S3_SECRET_ACCESS_KEY")
        return value

    @classmethod
    def load(cls, *, secrets_manager: OpenSecretsManager = open_secrets_manager, **overrides: Any) -> Settings:
        """Read the settings; encrypted ones are decrypted, and those that are in a vault are asked for.

        Raises `UsageError`, naming the variable, for a value that cannot be used or decrypted, and `Unreachable` for a vault that
        does not give one.
        """
        given = cls.given()
        names = {name: variable for name in cls.model_fields if (variable := _variable(name)) in given.references}
        opened = {name: given.open(variable, secrets_manager) for name, variable in names.items() if name not in overrides}
        loaded = cls._checked(opened, overrides)
        if loaded.alert_email_to and loaded.alert_smtp_url is None:
            raise UsageError(f"{PREFIX}ALERT_EMAIL_TO cannot be used: it needs a mail server in {PREFIX}ALERT_SMTP_URL.")
        return loaded

    @classmethod
    def load_graph(cls) -> GraphSettings:
        """Read what gives the graph its shape; no other setting is decrypted, and no vault is asked for one."""
        given = cls.given()
        names = {name: variable for name in cls.model_fields if (variable := _variable(name)) in given.references}
        opened = {name: given.open(variable) for name, variable in names.items() if name in _OF_THE_GRAPH}
        loaded = cls._checked(opened, {name: cls.model_fields[name].default for name in names if name not in opened})
        return GraphSettings(*(getattr(loaded, name) for name in GraphSettings._fields))

    @classmethod
    def given(cls, *, may_lack_file: bool = False) -> Given:
        """The settings as they were given, before anything is opened. Raises `UsageError` for a file that is none."""
        return Given.read({_variable(name) for name in cls.model_fields}, may_lack_file=may_lack_file)

    @classmethod
    def secrets(cls) -> set[str]:
        """The variables of the settings that are secret by their kind."""
        return {_variable(name) for name, field in cls.model_fields.items() if SecretStr in get_args(field.annotation)}

    @classmethod
    def _checked(cls, opened: dict[str, Any], others: dict[str, Any]) -> Settings:
        """The settings with values that were `opened`, `others` that are given here, and the rest as in the environment."""
        try:
            loaded = cls(**opened, **others)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            name = str(first["loc"][0])
            says = first["msg"].removeprefix("Value error, ")
            if len(first["loc"]) > 1:
                place, *field = first["loc"][1:]
                where = f"policy {place + 1}{''.join(f', {part}' for part in field)}" if isinstance(place, int) else place
                says = f"{where}: {says}"
            if name in opened:
                # What is wrong with a value may repeat it, also where somebody took care to hide it.
                says = "its value is not of its kind"
            raise UsageError(f"{_variable(name)} cannot be used: {says}. Run `salesmart doctor` to see every setting.") from None
        loaded._hidden = frozenset(opened)
        return loaded

    def is_secret(self, name: str) -> bool:
        """Whether a setting's value is to be shown to nobody: by its kind, or because it was given encrypted or from a vault."""
        return isinstance(getattr(self, name), SecretStr) or name in self._hidden

    @cached_property
    def root(self) -> Path:
        """`home` as an absolute path."""
        return self.home.expanduser().absolute()

    @cached_property
    def lake_uri(self) -> str:
        """Root of the Delta tables: an absolute path or an s3:// address, without a trailing slash."""
        if self.lake is None:
            return str(self.root / "lake")
        if "://" in self.lake:
            return self.lake.rstrip("/")
        return str(Path(self.lake).expanduser().absolute())

    @cached_property
    def marts_url(self) -> str:
        """SQLAlchemy URL of the database the marts are published to. May contain a password: never log it."""
        if self.database_url is not None and self.database_url.get_secret_value():
            return self.database_url.get_secret_value()
        return f"sqlite:///{self.root / 'marts.db'}"

    @cached_property
    def ledger_database_url(self) -> str:
        """SQLAlchemy URL of the ledger: beside the marts, but on SQLite a file of its own, so that neither waits for the other."""
        if self.ledger_url is not None and self.ledger_url.get_secret_value():
            return self.ledger_url.get_secret_value()
        return f"sqlite:///{self.root / 'ledger.db'}" if self.marts_url.startswith("sqlite") else self.marts_url

    @property
    def dagster_database_url(self) -> str:
        """SQLAlchemy URL of Dagster's own database; empty where it keeps its history in files. May contain a password: never log it."""
        return self.dagster_url.get_secret_value() if self.dagster_url is not None else ""

    @property
    def uses_local_s3(self) -> bool:
        """Whether the landing zone is served by the program itself over `HOME/s3`."""
        return self.s3_endpoint_url in (None, "", "local")

    @property
    def own_s3_folder(self) -> Path:
        """The folder whose files are the objects of the built-in endpoint."""
        return self.root / "s3"

    @property
    def s3_folder(self) -> Path | None:
        """The folder whose files are the landing zone's objects; None where another store holds them."""
        return self.own_s3_folder if self.uses_local_s3 else None

    @cached_property
    def landing_bucket(self) -> str:
        """Bucket of the landing zone."""
        return urlsplit(self.landing).netloc

    @cached_property
    def landing_prefix(self) -> str:
        """Key prefix of the landing zone, with a trailing slash, or empty."""
        path = urlsplit(self.landing).path.strip("/")
        return f"{path}/" if path else ""

    def fingerprint(self) -> str:
        """A text that changes with any setting, with the folder that relative paths mean, and with the user's contracts."""
        stamps = [(p.name, p.stat().st_mtime_ns) for p in sorted(self.contracts.glob("*.yaml"))] if self.contracts else []
        secrets = [v.get_secret_value() for v in self.__dict__.values() if isinstance(v, SecretStr)]
        return hashlib.sha256(repr((self.model_dump_json(), str(self.root), stamps, secrets)).encode()).hexdigest()

    @property
    def dagster_home(self) -> Path:
        """Folder of Dagster's instance, kept across starts."""
        return self.root / "dagster"

    @property
    def ui_address(self) -> str:
        """Where people find Dagster's UI, without a trailing slash."""
        return self.ui_url.rstrip("/") or f"http://127.0.0.1:{self.port}"

    @property
    def logs_folder(self) -> Path:
        """Folder of the log files."""
        return self.root / "logs"

    @property
    def reports_uri(self) -> str:
        """Folder of the HTML reports."""
        return f"{self.lake_uri}/reports"


def _variable(name: str) -> str:
    return PREFIX + name.upper()
