# Completion of sshlua's command line for fish: goes into a directory of $fish_complete_path. What may stand there is
# asked of the program itself.

function __sshlua_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    set -l program $words[1]
    set -e words[1]
    for line in ($program help --complete $words "$current" 2>/dev/null)
        switch $line
            case :files
                __fish_complete_path $current
            case :dirs
                __fish_complete_directories $current
            case '*'
                echo $line
        end
    end
end

complete -c sshlua -f -a '(__sshlua_complete)'
