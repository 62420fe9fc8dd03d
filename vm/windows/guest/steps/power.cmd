@echo off
rem SPDX-License-Identifier: Apache-2.0
rem A guest that sleeps looks like one that hangs.
setlocal
powercfg /change monitor-timeout-ac 0
if not %errorlevel%==0 goto :failed
powercfg /change standby-timeout-ac 0
if not %errorlevel%==0 goto :failed
powercfg /change hibernate-timeout-ac 0
if not %errorlevel%==0 goto :failed
powercfg /change disk-timeout-ac 0
if not %errorlevel%==0 goto :failed
powercfg /hibernate off
if not %errorlevel%==0 goto :failed
rem Or a shutdown is half a hibernation, and the sealed image would not start afresh.
reg add "HKLM\SYSTEM\CurrentControlSet\Control\Session Manager\Power" /v HiberbootEnabled /t REG_DWORD /d 0 /f
if not %errorlevel%==0 goto :failed
exit /b 0

:failed
set "CODE=%errorlevel%"
if "%CODE%"=="0" set "CODE=1"
exit /b %CODE%
