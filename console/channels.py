"""What can be done with channels. Nothing is sent when one is made or changed; a test is asked for by itself.

A URL is checked for its form only. Whether its host may be reached is the notifier's to say, each time it sends: names
resolve anew, and the networks that are allowed are a setting of the notifier.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from console import answers, checks, views
from console.errors import Invalid, NotFound
from console.routing import Call, Made
from console.schemas import ChannelCreate, ChannelPatch, ChannelPut, LogQuery
from rules.channels import KINDS, FieldError, check, make_secret
from store import channels, deliveries, plans
from store.records import Channel


async def create(call: Call[ChannelCreate]) -> answers.Channel:
    """Make a channel. A webhook without a secret gets one, shown in this answer only."""
    given = call.given
    try:
        return await _made(call, given.name, given.kind, given.settings, given.slug or "")
    except channels.SlugTaken as error:
        raise Invalid(str(error), field="slug") from None


async def page(call: Call[None]) -> answers.Channels:
    """List all channels, the oldest first."""
    found = await channels.of_project(call.context.db, call.principal.project)
    return answers.Channels(channels=tuple(_shown(call, channel) for channel in found))


async def get(call: Call[None]) -> answers.Channel:
    """Read a channel, without its secrets; who is no admin does not see what is its own password, such as a URL."""
    return _shown(call, await _of(call))


async def change(call: Call[ChannelPatch]) -> answers.Channel:
    """Change what is sent, and nothing else; a secret sent as null, as it is shown, stays too."""
    channel, given = await _of(call), call.given
    settings = _changed(channel, given.settings)
    slug = (given.slug or "") if "slug" in given.model_fields_set else channel.slug
    try:
        edited = await channels.edit(call.context.db, channel, given.name or channel.name, settings, slug=slug)
    except channels.SlugTaken as error:
        raise Invalid(str(error), field="slug") from None
    return _shown(call, edited)


async def get_by_slug(call: Call[None]) -> answers.Channel:
    """Read the channel that has this slug, as by its id."""
    return _shown(call, await _with_slug(call))


async def put(call: Call[ChannelPut]) -> answers.Channel | Made:
    """Make the channel with this slug, or change what is sent of it; what is so already is not written."""
    given = call.given
    if "slug" in given.model_fields_set and given.slug != call.id:
        raise Invalid("slug must be that of the path, or not be sent", field="slug")
    try:
        channel = await _with_slug(call)
    except NotFound:
        if given.kind is None:
            raise Invalid("kind is required: there is no channel with this slug yet", field="kind") from None
        try:
            return Made(await _made(call, given.name or call.id, given.kind, given.settings, call.id))
        except channels.SlugTaken:  # somebody was faster
            channel = await _with_slug(call)
    if given.kind not in {None, channel.kind}:
        raise Invalid(f"kind must be {channel.kind}: that of a channel stays", field="kind")
    name, settings = given.name or channel.name, _changed(channel, given.settings)
    if name != channel.name or settings != channel.settings:
        channel = await channels.edit(call.context.db, channel, name, settings)
    return _shown(call, channel)


async def delete(call: Call[None]) -> None:
    """Delete a channel; what waits for it is dropped."""
    plan = await plans.plan(call.context.db, call.principal.project)
    people = [person for person in plan.people.values() if any(each.channel == call.id for each in person.contacts)]
    users = [f'"{name}"' for name in sorted(person.name for person in people)]
    checks.unused("channel", [*users, *checks.policies_with("channels", call.id, plan)])
    await channels.delete(call.context.db, call.id, call.principal.project)


async def test(call: Call[None]) -> answers.TestAsked:
    """Send a test message; the delivery tells what became of it."""
    channel = await _of(call)
    delivery = await deliveries.send_test(call.context.db, channel.id, call.principal.project)
    return answers.TestAsked(delivery=delivery.id)


async def log(call: Call[LogQuery]) -> answers.Tellings:
    """List what a channel was sent, the newest first: when, how it ended, what was answered and how soon."""
    channel = await _of(call)
    found = await deliveries.log(call.context.db, channel.id, limit=call.given.limit)
    return answers.Tellings(log=tuple(views.telling(row) for row in found))


async def _of(call: Call[Any]) -> Channel:
    return await channels.get(call.context.db, call.id, call.principal.project)


async def _with_slug(call: Call[Any]) -> Channel:
    found = await channels.with_slug(call.context.db, call.id, call.principal.project)
    if found is None:
        raise NotFound("no channel has this slug")
    return found


async def _made(call: Call[Any], name: str, kind: str, given: Mapping[str, Any], slug: str) -> answers.Channel:
    """Raises Invalid or SlugTaken."""
    settings, made = _checked(kind, given), {}
    if kind == "webhook" and "secret" not in settings:
        made = {"secret": make_secret()}
    project = call.principal.project
    channel = await channels.create(call.context.db, name, kind, {**settings, **made}, project, slug=slug)
    return _shown(call, channel, reveal=made)


def _changed(channel: Channel, given: Mapping[str, Any]) -> dict[str, Any]:
    """Its settings with what is sent; a secret that is null stays."""
    secrets = views.secret_fields(channel.kind)
    sent = {name: value for name, value in given.items() if value is not None or name not in secrets}
    return _checked(channel.kind, {**channel.settings, **sent})


def _shown(call: Call[Any], channel: Channel, *, reveal: Iterable[str] = ()) -> answers.Channel:
    shown = views.channel(channel, reveal=reveal)
    if call.principal.may("admin"):
        return shown
    hidden = {field.name for field in KINDS[channel.kind].fields if field.shown == "admins"}
    settings = {name: None if name in hidden else value for name, value in shown.settings.items()}
    return shown.model_copy(update={"settings": settings})


def _checked(kind: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return check(kind, settings)
    except FieldError as error:
        if error.field == "kind":
            raise Invalid(str(error), field="kind") from None
        raise Invalid(f"settings.{error}", field=f"settings.{error.field}") from None
