@echo off
rem SPDX-License-Identifier: Apache-2.0
rem Runs the steps of steps.txt that are not done yet, in order; docs/windows.md says how.
rem Ends with 0 (sealed, shutting down), 3010 (restarting) or 1 (a step failed, and it was reported).
setlocal
set "KSHS=%~dp0"
if "%KSHS:~-1%"=="\" set "KSHS=%KSHS:~0,-1%"
set "KSHSCTL=%KSHS%\kshsctl.exe"
set "STATE=%KSHS%\state"
set "LOG=%KSHS%\provision.log"
set "MAXIMUM_STARTS=8"
if not exist "%STATE%\." mkdir "%STATE%"
rem Only set lines, so there is no exit code to look at.
if exist "%KSHS%\settings.cmd" call "%KSHS%\settings.cmd"

set "STARTS=0"
if exist "%STATE%\starts" set /p STARTS=<"%STATE%\starts"
set /a STARTS=%STARTS%+1
>"%STATE%\starts" echo %STARTS%
rem This is the start that somebody wanted, or one as good.
if exist "%STATE%\reboot" del /f /q "%STATE%\reboot"
"%KSHSCTL%" milestone start %STARTS%
if %STARTS% gtr %MAXIMUM_STARTS% (
    "%KSHSCTL%" milestone failed boot 1229 "%LOG%"
    exit /b 1
)

rem A goto would not leave the loop in every cmd: STOP is the exit code, once there is one.
set "STOP="
for /f "usebackq tokens=1" %%s in ("%KSHS%\steps.txt") do call :line %%s
if not defined STOP call :boundary
if defined STOP exit /b %STOP%

"%KSHSCTL%" milestone sealed
shutdown /s /t 0 /f
exit /b 0

rem One line of steps.txt.
:line
if defined STOP exit /b 0
if "%1"=="--" goto :boundary
if exist "%STATE%\%1.done" exit /b 0
if not exist "%KSHS%\steps\%1.cmd" (
    "%KSHSCTL%" milestone failed list 2 "%LOG%"
    set "STOP=1"
    exit /b 0
)
"%KSHSCTL%" milestone begin %1
rem A cmd of its own: a step can change nothing here, and its exit code is not lost.
cmd /d /c "%KSHS%\steps\%1.cmd" >>"%LOG%" 2>&1
set "CODE=%errorlevel%"
if "%CODE%"=="3010" (
    >"%STATE%\reboot" echo %1
    set "CODE=0"
)
if not "%CODE%"=="0" (
    "%KSHSCTL%" milestone failed %1 %CODE% "%LOG%"
    set "STOP=1"
    exit /b 0
)
>"%STATE%\%1.done" echo %STARTS%
"%KSHSCTL%" milestone done %1
exit /b 0

:boundary
if not exist "%STATE%\reboot" exit /b 0
set /p NAME=<"%STATE%\reboot"
"%KSHSCTL%" milestone reboot %NAME%
shutdown /r /t 0 /f
set "STOP=3010"
exit /b 0
