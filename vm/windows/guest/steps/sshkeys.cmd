@echo off
rem Host keys and the authorised key, before sshd starts for the first time: it makes no keys of its own then.
setlocal
set "SSH=%ProgramData%\ssh"
if not exist "%SSH%\." mkdir "%SSH%" || goto :failed
rem The access rights are those that sshd demands; a folder that others may write to keeps it from starting.
rem SIDs: SYSTEM, Administrators, Authenticated Users.  Names differ from language to language.
icacls "%SSH%" /inheritance:r /grant "*S-1-5-18:(OI)(CI)F" "*S-1-5-32-544:(OI)(CI)F" "*S-1-5-11:(OI)(CI)RX" || goto :failed
for %%f in (ssh_host_ed25519_key ssh_host_ed25519_key.pub administrators_authorized_keys sshd_config) do (
    copy /y "%KSHS%\ssh\%%f" "%SSH%\%%f" || goto :failed
)
for %%f in (ssh_host_ed25519_key administrators_authorized_keys) do (
    icacls "%SSH%\%%f" /inheritance:r /grant "*S-1-5-32-544:F" "*S-1-5-18:F" || goto :failed
)
exit /b 0

:failed
set "CODE=%errorlevel%"
if "%CODE%"=="0" set "CODE=1"
exit /b %CODE%
