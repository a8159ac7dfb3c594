# SPDX-License-Identifier: GPL-2.0-or-later
# Bash completion of bulkhead-install.
_bulkhead_install() {
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} kernels
    COMPREPLY=()
    case $prev in
    --esp | --root | --loader | --sign)
        compopt -o default
        return
        ;;
    --kernel)
        kernels=$(cd /boot && printf '%s\n' vmlinuz-*)
        mapfile -t COMPREPLY < <(compgen -W "${kernels//vmlinuz-/}" -- "$cur")
        return
        ;;
    esac
    if ((COMP_CWORD > 1)) && [[ ${COMP_WORDS[COMP_CWORD - 2]} == --sign ]]; then
        compopt -o default
    else
        mapfile -t COMPREPLY < <(compgen -W "install update remove status --esp --loader --kernel --sign --unified
            --no-boot-entry --root --help" -- "$cur")
    fi
}

complete -F _bulkhead_install bulkhead-install
