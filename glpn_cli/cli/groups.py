"""Turn dataclasses whose fields are options into the parameters of Typer's commands.

A group is a frozen dataclass whose fields are options. A command takes groups as parameters; `with_groups` turns their
fields into the options that Typer sees. A command that has some of a group's options says which: `only(...)`.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from types import SimpleNamespace
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import typer

from glpn_cli.options import ExplicitOptions


@dataclass(frozen=True)
class _Selection:
    """The fields of a group that a command offers as options, and the defaults and help that differ there.

    names: None: all of them
    """

    names: frozenset[str] | None
    left_out: frozenset[str]
    defaults: Mapping[str, Any]
    help: Mapping[str, str]

    def of(self, group: Any) -> Iterator[inspect.Parameter]:
        """The chosen options of a group, as parameters for Typer."""
        options = {each.name: each for each in fields(group) if each.metadata}
        named = {*(self.names or ()), *self.left_out, *self.defaults, *self.help}
        assert options.keys() >= named, f"{group} has no such option"
        chosen = [each for each in options if each not in self.left_out and (self.names is None or each in self.names)]
        names = SimpleNamespace(__annotations__={name: options[name].type for name in chosen})
        for name, annotation in get_type_hints(names, vars(sys.modules[group.__module__])).items():
            facts = dict(options[name].metadata["facts"])
            facts["rich_help_panel"] = facts["rich_help_panel"] or getattr(group, "PANEL", None)
            facts["help"] = self.help.get(name, facts["help"])
            kind = typer.Option if (spellings := options[name].metadata["names"]) else typer.Argument
            info = kind(*spellings, **facts)
            yield _keyword(name, Annotated[annotation, info], self.defaults.get(name, _default_of(options[name])))


def only(*names: str, help: Mapping[str, str] | None = None, **defaults: Any) -> _Selection:
    """Offer these options of a group; those in `defaults` and in `help` with another default or help than elsewhere."""
    told = help or {}
    return _Selection(frozenset(names) | defaults.keys() | told.keys(), frozenset(), defaults, told)


def without(*names: str) -> _Selection:
    """Offer all options of a group but these."""
    return _Selection(None, frozenset(names), {}, {})


def with_groups(function: Callable[..., None]) -> Callable[..., None]:
    """Give Typer the options in a command's groups, and the command its groups and the options that were typed."""
    hints = get_type_hints(function, include_extras=True)
    parameters = [_keyword("context", typer.Context)]
    groups: dict[str, tuple[type, list[str]]] = {}
    for name, parameter in inspect.signature(function).parameters.items():
        group, selection = _find_group(hints[name])
        if group is not None:
            options = list(selection.of(group))
            parameters += options
            groups[name] = group, [each.name for each in options]
        elif hints[name] is not ExplicitOptions:
            parameters.append(_keyword(name, hints[name], parameter.default))

    def run(context: typer.Context, **values: Any) -> None:
        for name, (group, names) in groups.items():
            values[name] = group(**{each: values.pop(each) for each in names})
        if "explicit" in hints:
            values["explicit"] = _find_explicit(context)
        function(**values)

    run.__doc__ = function.__doc__
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # Typer reads it
    return run


def _default_of(option: Field[Any]) -> Any:
    if option.default_factory is not MISSING:
        return option.default_factory()
    return inspect.Parameter.empty if option.default is MISSING else option.default


def _keyword(name: str, annotation: Any, default: Any = inspect.Parameter.empty) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=default)


def _find_group(annotation: Any) -> tuple[type | None, _Selection]:
    """The group that a parameter is, if it is one, and which of its options are offered."""
    selection = without()
    if get_origin(annotation) is Annotated and isinstance(get_args(annotation)[1], _Selection):
        annotation, selection = get_args(annotation)
    is_group = is_dataclass(annotation) and annotation is not ExplicitOptions
    return (annotation if is_group else None), selection


def _find_explicit(context: typer.Context) -> ExplicitOptions:
    """The options that were typed, not those that the environment or a default sets."""
    typed = set()
    for param in context.command.params:
        source = context.get_parameter_source(param.name or "")
        if param.param_type_name == "option" and source is not None and source.name == "COMMANDLINE":
            typed.add(max(param.opts, key=len))
    return ExplicitOptions(frozenset(typed))
