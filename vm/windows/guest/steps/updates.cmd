@echo off
rem SPDX-License-Identifier: Apache-2.0
rem Windows Update changes what is tested, and wants restarts.
setlocal
set "POLICY=HKLM\SOFTWARE\Policies\Microsoft\Windows\WindowsUpdate"
reg add %POLICY%\AU /v NoAutoUpdate /t REG_DWORD /d 1 /f
if not %errorlevel%==0 goto :failed
reg add %POLICY% /v DoNotConnectToWindowsUpdateInternetLocations /t REG_DWORD /d 1 /f
if not %errorlevel%==0 goto :failed
reg add %POLICY% /v SetDisableUXWUAccess /t REG_DWORD /d 1 /f
if not %errorlevel%==0 goto :failed
reg add HKLM\SOFTWARE\Policies\Microsoft\Windows\DeliveryOptimization /v DODownloadMode /t REG_DWORD /d 99 /f
if not %errorlevel%==0 goto :failed
reg add HKLM\SOFTWARE\Policies\Microsoft\WindowsStore /v AutoDownload /t REG_DWORD /d 2 /f
if not %errorlevel%==0 goto :failed
"%KSHSCTL%" disable-service wuauserv UsoSvc DoSvc
if not %errorlevel%==0 goto :failed
rem The medic repairs the others, and its service protects itself: what cannot be changed is said in the log.
"%KSHSCTL%" disable-service WaaSMedicSvc
exit /b 0

:failed
set "CODE=%errorlevel%"
if "%CODE%"=="0" set "CODE=1"
exit /b %CODE%
