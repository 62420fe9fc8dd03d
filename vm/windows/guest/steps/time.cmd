@echo off
rem SPDX-License-Identifier: Apache-2.0
rem UTC, and the machine's clock is UTC too; nobody else sets it.
setlocal
tzutil /s UTC
if not %errorlevel%==0 goto :failed
reg add HKLM\SYSTEM\CurrentControlSet\Control\TimeZoneInformation /v RealTimeIsUniversal /t REG_DWORD /d 1 /f
if not %errorlevel%==0 goto :failed
"%KSHSCTL%" disable-service w32time
if not %errorlevel%==0 goto :failed
exit /b 0

:failed
set "CODE=%errorlevel%"
if "%CODE%"=="0" set "CODE=1"
exit /b %CODE%
