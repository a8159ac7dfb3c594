# SPDX-License-Identifier: GPL-2.0-or-later
# Bash completion of the app: its options, as its own help lists them, and files.

_bulkhead() {
    local cur=${COMP_WORDS[COMP_CWORD]} line
    COMPREPLY=()
    if [[ $cur != -* ]]; then
        compopt -o default 2>/dev/null
        return 0
    fi
    while IFS= read -r line; do
        [[ $line == "$cur"* ]] && COMPREPLY+=("$line")
    done < <("${COMP_WORDS[0]}" --help-all 2>/dev/null | grep -o -E -- '--[a-z][a-z-]+=?' | sort -u)
    [[ ${#COMPREPLY[@]} == 1 && ${COMPREPLY[0]} == *= ]] && compopt -o nospace 2>/dev/null
    return 0
}

complete -F _bulkhead bulkhead
