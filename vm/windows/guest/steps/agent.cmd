@echo off
rem SPDX-License-Identifier: Apache-2.0
rem The agent is in C:\kshs already: see that it and everything else arrived whole.
setlocal
"%KSHSCTL%" check-files "%KSHS%\files.sha256"
if not %errorlevel%==0 goto :failed
"%KSHSCTL%" info
if not %errorlevel%==0 goto :failed
exit /b 0

:failed
set "CODE=%errorlevel%"
if "%CODE%"=="0" set "CODE=1"
exit /b %CODE%
