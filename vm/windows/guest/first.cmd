@echo off
rem SPDX-License-Identifier: Apache-2.0
rem The only first-logon command: %1 is the drive of the provisioning CD ("D:").
rem Copies everything to C:\kshs, lets provisioning go on after each restart, and starts it.
setlocal
set "CD_ROOT=%~1"
set "KSHS=C:\kshs"

if not exist "%CD_ROOT%\kshs\steps.txt" (
    echo usage: first.cmd DRIVE, of the provisioning CD
    exit /b 2
)
xcopy "%CD_ROOT%\kshs" "%KSHS%" /e /i /q /y /h /r
set "CODE=%errorlevel%"
if not "%CODE%"=="0" goto :failed
if not exist "%KSHS%\state\." mkdir "%KSHS%\state"

rem Keys are in there: SYSTEM and Administrators (by their SIDs, names are translated) and nobody else.
icacls "%KSHS%" /inheritance:r /grant "*S-1-5-18:(OI)(CI)F" "*S-1-5-32-544:(OI)(CI)F"
set "CODE=%errorlevel%"
if not "%CODE%"=="0" goto :failed

rem A program of the Run key is elevated only where UAC is off, from the next start on.
reg add HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\Policies\System /v EnableLUA /t REG_DWORD /d 0 /f
set "CODE=%errorlevel%"
if not "%CODE%"=="0" goto :failed
reg add HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\Run /v kshs /t REG_SZ /d "%KSHS%\kshsctl.exe supervise %KSHS%\provision.cmd" /f
set "CODE=%errorlevel%"
if not "%CODE%"=="0" goto :failed

"%KSHS%\kshsctl.exe" supervise "%KSHS%\provision.cmd"
exit /b %errorlevel%

:failed
rem The agent on the CD: there may be none in C:\kshs.
"%CD_ROOT%\kshs\kshsctl.exe" milestone failed first %CODE% "%KSHS%\provision.log"
exit /b 1
