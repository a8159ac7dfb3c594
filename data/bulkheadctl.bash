# SPDX-License-Identifier: GPL-2.0-or-later
# Bash completion of bulkheadctl. Verbs, options and kinds of arguments come from the program's own
# table (bulkheadctl --complete), so this file knows none of them.

# _bulkheadctl_offer PREFIX: the lines of standard input that begin with it.
_bulkheadctl_offer() {
    local line
    while IFS= read -r line; do
        [[ $line == "$1"* ]] && COMPREPLY+=("$line")
    done
}

# _bulkheadctl_values OPTION: the words an option takes; fails when it takes files or free text.
_bulkheadctl_values() {
    case $1 in
    --state) printf '%s\n' off starting running paused saving saved stopping crashed ;;
    --sound | --clipboard | --tpm | --secure-boot) printf '%s\n' on off ;;
    --video) printf '%s\n' auto qxl virtio vga ;;
    --nic) printf '%s\n' auto virtio e1000e none ;;
    --progress) printf '%s\n' auto bar lines none ;;
    --connect | -c) printf '%s\n' qemu:///session qemu:///system ;;
    *) return 1 ;;
    esac
}

# _bulkheadctl_argument KIND PREFIX: completes one argument, a word of the verb's usage line.
_bulkheadctl_argument() {
    case $1 in
    MACHINE) _bulkheadctl_offer "$2" < <("${ctl[@]}" list --names 2>/dev/null) ;;
    DELETED-MACHINE) _bulkheadctl_offer "$2" < <("${ctl[@]}" deleted --names 2>/dev/null) ;;
    DEVICE) _bulkheadctl_offer "$2" < <("${ctl[@]}" usb list --ids 2>/dev/null) ;;
    RULE) _bulkheadctl_offer "$2" < <(printf '%s\n' never ask always) ;;
    FILE) compopt -o default 2>/dev/null ;;
    esac
    # Names may have spaces and quotes: readline quotes them.
    compopt -o filenames 2>/dev/null
    return 0
}

# _bulkheadctl_is_valued OPTION: whether the option's value is the next word.
_bulkheadctl_is_valued() {
    [[ $1 == -c ]] || "${ctl[0]}" --complete options "${verb[@]}" 2>/dev/null | grep -Fxq -- "$1="
}

_bulkheadctl() {
    local cur prev words cword i word given=() verb=() ctl=(bulkheadctl) kinds=()
    COMPREPLY=()
    if declare -F _get_comp_words_by_ref >/dev/null; then
        _get_comp_words_by_ref -n =: cur prev words cword
    else
        words=("${COMP_WORDS[@]}") cword=$COMP_CWORD
        cur=${words[cword]} prev=${words[cword - 1]}
    fi
    ctl=("${words[0]}")

    # What stands before the cursor: options, the verb, its arguments.
    for ((i = 1; i < cword; i++)); do
        word=${words[i]}
        case $word in
        --connect=*) ctl+=(--connect "${word#*=}") ;;
        --connect | -c) ((++i < cword)) && ctl+=(--connect "${words[i]}") ;;
        --*=* | -?) ;;
        --*) _bulkheadctl_is_valued "$word" && ((i++)) ;;
        *)
            if ((${#verb[@]} == 0)) || [[ ${#verb[@]} == 1 && ${verb[0]} == usb ]]; then
                verb+=("$word")
            else
                given+=("$word")
            fi
            ;;
        esac
    done

    cur=${cur//\\/}
    cur=${cur#[\"\']}
    if [[ $cur == --*=* ]]; then
        word=${cur%%=*}
        _bulkheadctl_offer "${cur#*=}" < <(_bulkheadctl_values "$word") || compopt -o default 2>/dev/null
        [[ ${COMP_WORDBREAKS-} == *=* ]] || COMPREPLY=("${COMPREPLY[@]/#/$word=}")
    elif [[ $prev == -c || $prev == --* && $prev != *=* ]] && _bulkheadctl_is_valued "$prev"; then
        _bulkheadctl_values "$prev" >/dev/null && _bulkheadctl_offer "$cur" < <(_bulkheadctl_values "$prev") ||
            compopt -o default 2>/dev/null
    elif [[ $cur == -* ]]; then
        _bulkheadctl_offer "$cur" < <("${ctl[0]}" --complete options "${verb[@]}" 2>/dev/null)
        [[ ${#COMPREPLY[@]} == 1 && ${COMPREPLY[0]} == *= ]] && compopt -o nospace 2>/dev/null
    elif ((${#verb[@]} == 0)); then
        _bulkheadctl_offer "$cur" < <("${ctl[0]}" --complete verbs 2>/dev/null | sed 's/ .*//' | sort -u)
    elif [[ ${#verb[@]} == 1 && ${verb[0]} == usb ]]; then
        _bulkheadctl_offer "$cur" < <("${ctl[0]}" --complete verbs 2>/dev/null | sed -n 's/^usb //p')
    else
        read -r -a kinds < <("${ctl[0]}" --complete args "${verb[@]}" 2>/dev/null | tr -d '[]')
        ((${#kinds[@]})) || return 0
        i=${#given[@]}
        word=${kinds[i < ${#kinds[@]} ? i : ${#kinds[@]} - 1]}
        [[ i -lt ${#kinds[@]} || $word == *... ]] && _bulkheadctl_argument "${word%...}" "$cur"
    fi
    return 0
}

complete -F _bulkheadctl bulkheadctl
