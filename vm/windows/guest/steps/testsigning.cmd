@echo off
rem SPDX-License-Identifier: Apache-2.0
rem Any certificate is good for a driver then.  Secure Boot refuses this.
setlocal
bcdedit /set testsigning on
if not %errorlevel%==0 goto :failed
exit /b 3010

:failed
set "CODE=%errorlevel%"
if "%CODE%"=="0" set "CODE=1"
exit /b %CODE%
