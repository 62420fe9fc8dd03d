# SPDX-License-Identifier: Apache-2.0
"""The line of every key of a TOML text; tomllib gives the values and forgets where they stood."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence

import tree_sitter
import tree_sitter_toml

Key = tuple[str | int, ...]

_LANGUAGE = tree_sitter.Language(tree_sitter_toml.language())


def line_map(source: bytes) -> dict[Key, int]:
    """The line, from 1, on which every key, table and array element begins."""
    lines: dict[Key, int] = {}
    counts: dict[Key, int] = {}

    def note(key: Key, node: tree_sitter.Node) -> None:
        lines.setdefault(key, node.start_point[0] + 1)

    def key_parts(node: tree_sitter.Node) -> list[str]:
        if node.type == "dotted_key":
            return [part for child in node.named_children for part in key_parts(child)]
        text = (node.text or b"").decode()
        # A quoted key is a TOML string: let the TOML parser undo its escapes.
        return list(tomllib.loads(f"{text} = 0")) if node.type == "quoted_key" else [text]

    def through(key: Key, parts: Sequence[str], node: tree_sitter.Node) -> Key:
        """Follows a header's or a pair's key; an array of tables on the way means its last element."""
        for part in parts:
            key = (*key, part)
            note(key, node)
            if key in counts:
                key = (*key, counts[key])
        return key

    def pairs(node: tree_sitter.Node, base: Key) -> None:
        for child in node.named_children:
            if child.type == "pair":
                name, value = child.named_children[0], child.named_children[-1]
                values(value, through(base, key_parts(name), name))

    def values(node: tree_sitter.Node, key: Key) -> None:
        if node.type == "inline_table":
            pairs(node, key)
        elif node.type == "array":
            elements = [child for child in node.named_children if child.type != "comment"]
            for index, child in enumerate(elements):
                note((*key, index), child)
                values(child, (*key, index))

    root = tree_sitter.Parser(_LANGUAGE).parse(source).root_node
    pairs(root, ())
    for node in root.named_children:
        if node.type == "table":
            name = node.named_children[0]
            pairs(node, through((), key_parts(name), name))
        elif node.type == "table_array_element":
            name = node.named_children[0]
            parts = key_parts(name)
            array = (*through((), parts[:-1], name), parts[-1])
            note(array, name)
            counts[array] = counts.get(array, -1) + 1
            element = (*array, counts[array])
            note(element, name)
            pairs(node, element)
    return lines
