@echo off
rem SPDX-License-Identifier: Apache-2.0
rem Host keys and the authorised key, before sshd starts for the first time: it makes no keys of its own then.
setlocal
set "SSH=%ProgramData%\ssh"
if not exist "%SSH%\." mkdir "%SSH%"
if not exist "%SSH%\." exit /b 3
rem The access rights are those that sshd demands; a folder that others may write to keeps it from starting.
rem SIDs: SYSTEM, Administrators, Authenticated Users.  Names differ from language to language.
icacls "%SSH%" /inheritance:r /grant "*S-1-5-18:(OI)(CI)F" "*S-1-5-32-544:(OI)(CI)F" "*S-1-5-11:(OI)(CI)RX"
if not %errorlevel%==0 goto :failed
set "CODE=0"
for %%f in (ssh_host_ed25519_key ssh_host_ed25519_key.pub administrators_authorized_keys sshd_config) do call :place %%f
if not "%CODE%"=="0" exit /b %CODE%
for %%f in (ssh_host_ed25519_key administrators_authorized_keys) do call :protect %%f
exit /b %CODE%

rem After the first failure nothing more is tried.
:place
if not "%CODE%"=="0" exit /b 0
copy /y "%KSHS%\ssh\%1" "%SSH%\%1"
set "CODE=%errorlevel%"
exit /b 0

:protect
if not "%CODE%"=="0" exit /b 0
icacls "%SSH%\%1" /inheritance:r /grant "*S-1-5-32-544:F" "*S-1-5-18:F"
set "CODE=%errorlevel%"
exit /b 0

:failed
set "CODE=%errorlevel%"
if "%CODE%"=="0" set "CODE=1"
exit /b %CODE%
