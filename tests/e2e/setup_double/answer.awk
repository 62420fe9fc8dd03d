# SPDX-License-Identifier: Apache-2.0
# Prints every text of an XML file as "path=text", one a line.  A part of the path is the element's name,
# with the value of its `pass` or `name` behind a colon where it has one: settings:windowsPE/component:...
BEGIN { RS = "<"; depth = 0 }
{
    end = index($0, ">")
    if (end == 0) next
    tag = substr($0, 1, end - 1)
    text = substr($0, end + 1)
    if (tag ~ /^[?!]/) next
    if (tag ~ /^\//) { depth--; next }
    split(tag, words, /[ \t\r\n\/]/)
    part = words[1]
    if (match(tag, /[ \t\r\n](pass|name)="[^"]*"/)) {
        value = substr(tag, RSTART, RLENGTH)
        sub(/^[^"]*"/, "", value)
        sub(/"$/, "", value)
        part = part ":" value
    }
    depth++
    path[depth] = part
    sub(/[ \t\r\n]+$/, "", text)
    if (text != "") {
        gsub(/&lt;/, "<", text); gsub(/&gt;/, ">", text); gsub(/&quot;/, "\"", text); gsub(/&amp;/, "\\&", text)
        whole = path[1]
        for (i = 2; i <= depth; i++) whole = whole "/" path[i]
        print whole "=" text
    }
    if (tag ~ /\/$/) depth--
}
