@echo off
rem A guest that sleeps looks like one that hangs.
setlocal
for %%t in (monitor-timeout-ac standby-timeout-ac hibernate-timeout-ac disk-timeout-ac) do powercfg /change %%t 0 || goto :failed
powercfg /hibernate off || goto :failed
rem Or a shutdown is half a hibernation, and the sealed image would not start afresh.
reg add "HKLM\SYSTEM\CurrentControlSet\Control\Session Manager\Power" /v HiberbootEnabled /t REG_DWORD /d 0 /f || goto :failed
exit /b 0

:failed
set "CODE=%errorlevel%"
if "%CODE%"=="0" set "CODE=1"
exit /b %CODE%
